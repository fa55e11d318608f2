package sdk

import (
	"github.com/keboola/duckdb-storage/sdk/internal/wire"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Host is what a plugin may ask of the host. Handlers use the methods of Context;
// this is for what stands in for a host: the core, which runs its own commands in
// its process, and package sdktest.
type Host = wire.Host

// Transaction is the stream behind Context.Transact.
type Transaction = wire.Transaction

// InProcess is a host in the same process.
func InProcess(server pluginv1.HostServiceServer) Host { return wire.InProcess(server) }
