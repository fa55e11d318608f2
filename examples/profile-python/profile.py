"""The plugin "profile": figures about each column of a table.

It is written in Python to show the contract between the host and a plugin without
the Go SDK. The contract is sdk/proto/duckdbstorage/plugin/v1/{plugin,host}.proto;
this file is what surrounds it, in the order in which things happen:

 1. The host starts the executable with a cookie, a certificate and the folder for
    sockets in the environment. The plugin listens there and prints one line.
 2. The host connects, both sides show their certificates, and it asks Describe.
 3. The host listens for the plugin's callbacks, tells where over the broker of
    go-plugin, and calls Configure. From then on it calls Invoke.
 4. Drain, then Shutdown: the process ends.
"""

import base64
import datetime
import json
import os
import signal
import sys
import threading
from concurrent import futures

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import goplugin_pb2 as goplugin
import goplugin_pb2_grpc as goplugin_grpc
from duckdbstorage.plugin.v1 import host_pb2_grpc, host_pb2 as host, plugin_pb2 as pb, plugin_pb2_grpc

NAME, VERSION = "profile", "0.1.0"
PROTOCOL_VERSION = 1  # of the contract; the 1 before it in the handshake is go-plugin's own
COOKIE_NAME, COOKIE = "DUCKDB_STORAGE_PLUGIN", "6f1d3c0b-host"
# One message in either direction. The default of gRPC is 4 MiB.
MESSAGE_SIZE = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]


# --- What the plugin offers -------------------------------------------------------

def described():
    """The answer to Describe. It must be the same at each start."""
    name = {"type": "string", "minLength": 1, "maxLength": 255}
    columns = pb.Command(
        name="profile.Columns",  # <plugin>.<Operation>
        summary="Count the rows, the values and the distinct values of each column.",
        effect=pb.EFFECT_READ,
        permission="tables:read",  # what the caller must be allowed
        # Third parties live below /x/<plugin>/. {catalog} is the project, or one of its branches.
        routes=[pb.Route(method="GET", path="{catalog}/x/profile/{schema}/{table}", status=200)],
        parameters=[pb.Parameter(name=p, location=pb.LOCATION_PATH) for p in ("schema", "table")],
        # The whole input, path and query included. The host checks it before Invoke.
        input_schema=schema({"schema": name, "table": name}),
        output_schema=schema({
            "columns": {"type": "array", "items": {"type": "string"}},
            "rows": {"type": "array", "items": {"type": "array"}},
        }),
        form=pb.FORM_ROWS,  # so a client may also ask for CSV, NDJSON, Parquet or Arrow
    )
    return pb.DescribeResponse(
        name=NAME, version=VERSION, summary="Figures about each column of a table.", sdk_version="python",
        commands=[columns],
        needs_permissions=["sql:read"],  # what the plugin itself does; the operator grants it
    )


def schema(properties):
    return json.dumps({
        "type": "object", "properties": properties, "required": sorted(properties), "additionalProperties": False,
    }).encode()


def columns(call, request):
    """profile.Columns: looks at the table with a callback, and answers with a plan.

    A plan says what should happen. The host runs the statement and streams its rows
    to the client; they never come here.
    """
    found = call.query(
        "SELECT column_name FROM duckdb_columns() WHERE database_name = current_database()"
        " AND lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY column_index",
        request["schema"], request["table"])
    if not found:
        raise Problem(pb.Error(
            code="table-not-found", title="Table not found", kind=pb.KIND_NOT_FOUND, driver_code=2004,
            detail=f"there is no table {request['table']!r} in {request['schema']!r}"))
    one = ('SELECT ? AS "column", count(*) AS "rows", count({c}) AS "values", count(DISTINCT {c}) AS "distinct",'
           ' min({c})::VARCHAR AS "least", max({c})::VARCHAR AS "greatest" FROM {t}')
    table = quote(request["schema"]) + "." + quote(request["table"])
    names = [row["column_name"] for row in found]
    return pb.InvokeResponse(rows=pb.Rows(statement=statement(
        " UNION ALL ".join(one.format(c=quote(n), t=table) for n in names), *names)))


COMMANDS = {"profile.Columns": columns}


def quote(name):
    """A name in SQL. What is a value and no name is bound instead: see statement."""
    return '"' + name.replace('"', '""') + '"'


def statement(sql, *texts):
    return pb.Statement(sql=sql, args=[pb.Value(text=t) for t in texts])


class Problem(Exception):
    """An error of the application: it is data of the answer, never a status of gRPC."""


class Call:
    """One Invoke. Each callback shows its token and ends with it."""

    def __init__(self, host_service, request, context):
        self._host, self._request, self._context = host_service, request, context

    def query(self, sql, *args):
        """A small read: at most 1000 rows and 1 MiB."""
        asked = self._host.Query.future(
            host.QueryRequest(call_token=self._request.call_token, statement=statement(sql, *args)))
        if not self._context.add_callback(asked.cancel):  # the client leaves, or has left
            asked.cancel()
        answer = asked.result()
        if answer.HasField("error"):
            raise Problem(answer.error)
        return json.loads(answer.rows)


# --- The contract -----------------------------------------------------------------

class Plugin(plugin_pb2_grpc.PluginServiceServicer):
    def __init__(self, broker):
        self._broker = broker
        self._host = None
        self._running = 0
        self._idle = threading.Condition()

    def Describe(self, request, context):
        return described()

    def Configure(self, request, context):
        # request.config holds the operator's settings; this plugin declares no
        # config_schema, so there are none.
        self._host = host_pb2_grpc.HostServiceStub(self._broker.dial(request.host_broker_id))
        return pb.ConfigureResponse()

    def Invoke(self, request, context):
        with self._idle:
            self._running += 1
        try:
            handler = COMMANDS.get(request.command)
            if handler is None:
                raise Problem(pb.Error(
                    code="unsupported", title="Not supported", kind=pb.KIND_UNSUPPORTED, driver_code=900,
                    detail=f"plugin {NAME} has no command {request.command}"))
            try:
                payload = json.loads(request.payload)
            except ValueError as e:
                raise Problem(pb.Error(
                    code="malformed-request", title="Malformed request", kind=pb.KIND_MALFORMED, driver_code=3000,
                    detail=f"the input of {request.command} cannot be read: {e}"))
            return handler(Call(self._host, request, context), payload)
        except Problem as p:
            return pb.InvokeResponse(error=p.args[0])
        except Exception as e:  # the client gets no more than the id; the log has the rest
            log("error", "unclassified error", command=request.command, request_id=request.request_id, error=repr(e))
            return pb.InvokeResponse(error=pb.Error(
                code="internal-error", title="Internal error", kind=pb.KIND_INTERNAL,
                detail=f"internal error in plugin {NAME}; see its log for request {request.request_id}"))
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    # Before and Notify are not called: Describe names neither hooks nor subscriptions.

    def Health(self, request, context):
        return pb.HealthResponse()

    def Drain(self, request, context):
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)
        return pb.DrainResponse()


# --- go-plugin --------------------------------------------------------------------

class Broker(goplugin_grpc.GRPCBrokerServicer):
    """Learns from the host where it listens."""

    def __init__(self, credentials):
        self._credentials = credentials
        self._known = {}
        self._news = threading.Condition()

    def StartStream(self, requests, context):
        for info in requests:
            with self._news:
                self._known[info.service_id] = info
                self._news.notify_all()
        return
        yield  # a stream of answers without one

    def dial(self, service_id):
        with self._news:
            if not self._news.wait_for(lambda: service_id in self._known, timeout=5):
                raise RuntimeError(f"the host has not told where its service {service_id} is")
            info = self._known[service_id]
        # The certificates of go-plugin are for localhost, whatever the socket.
        return grpc.secure_channel(
            "unix:" + info.address, self._credentials, MESSAGE_SIZE + [("grpc.ssl_target_name_override", "localhost")])


class Controller(goplugin_grpc.GRPCControllerServicer):
    def __init__(self, end):
        self._end = end

    def Shutdown(self, request, context):
        self._end.set()
        return goplugin.Empty()


def certificate():
    """A key and a certificate for this start, both as PEM, and the certificate as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.utcnow()
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, cert.public_bytes(serialization.Encoding.PEM), cert.public_bytes(serialization.Encoding.DER)


def log(level, message, **facts):
    """A line for the host's log: JSON in the form of hclog, on stderr."""
    print(json.dumps({"@level": level, "@message": message, **facts}), file=sys.stderr, flush=True)


def main():
    if os.environ.get(COOKIE_NAME) != COOKIE:
        print(f"{NAME} {VERSION} is a plugin of DuckDB Storage: the host starts it.\n"
              f"Copy it to the plugin directory as plugin-{NAME}, and grant what it needs:\n\n"
              f"plugins:\n  {NAME}:\n    grants: [sql:read]", file=sys.stderr)
        sys.exit(1)
    parent = os.getppid()
    # Service managers send it to the whole group, before the host has drained its plugins.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    theirs = os.environ["PLUGIN_CLIENT_CERT"].encode()
    private, public, der = certificate()
    end = threading.Event()
    broker = Broker(grpc.ssl_channel_credentials(theirs, private, public))
    # The stream of the broker holds one of the threads.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=MESSAGE_SIZE)
    plugin_pb2_grpc.add_PluginServiceServicer_to_server(Plugin(broker), server)
    goplugin_grpc.add_GRPCBrokerServicer_to_server(broker, server)
    goplugin_grpc.add_GRPCControllerServicer_to_server(Controller(end), server)
    socket = os.path.join(os.environ["PLUGIN_UNIX_SOCKET_DIR"], "plugin")
    server.add_secure_port("unix:" + socket, grpc.ssl_server_credentials(
        [(private, public)], root_certificates=theirs, require_client_auth=True))
    server.start()

    # The handshake, and the only line on stdout. Base64 without padding.
    cert = base64.b64encode(der).decode().rstrip("=")
    print(f"1|{PROTOCOL_VERSION}|unix|{socket}|grpc|{cert}", flush=True)

    while not end.wait(timeout=1):
        if os.getppid() != parent:  # the host is gone
            os._exit(1)
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
