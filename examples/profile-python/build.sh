#!/bin/sh
# Builds the plugin as one executable file: the host copies a plugin before it runs
# it, so nothing may lie beside it. Needs protoc with the plugin for Python; what
# runs it needs grpcio, protobuf and cryptography (README.md lists the packages).
#
#   ./build.sh <target>
set -eu
target=$(realpath -m "${1:?usage: build.sh <target>}")
cd "$(dirname "$0")"
proto=../../sdk/proto
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

protoc -I "$proto" -I . --python_out="$build" --grpc_python_out="$build" \
	--plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
	goplugin.proto "$proto"/duckdbstorage/plugin/v1/plugin.proto "$proto"/duckdbstorage/plugin/v1/host.proto
cp profile.py "$build/__main__.py"
mkdir -p "$(dirname "$target")"
/usr/bin/python3 -m zipapp "$build" --python "/usr/bin/python3 -I" --output "$target"
chmod 755 "$target"
