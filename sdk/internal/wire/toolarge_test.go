package wire_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// distant is a host behind a connection.
type distant struct {
	sdk.Host
	client pluginv1.HostServiceClient
}

func (d distant) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	return d.client.Write(ctx, r)
}

// A callback that does not fit into a message tells the client so: it is no mistake of
// the plugin that its operator has to look for.
func TestCallbackThatIsTooLarge(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(1000))
	pluginv1.RegisterHostServiceServer(server, pluginv1.UnimplementedHostServiceServer{})
	go func() { _ = server.Serve(listener) }() // until Stop
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := sdk.New("probe", "1.0.0")
	sdk.Handle(p, sdk.Command[struct{}, sdk.None]{Name: "probe.Write"}, func(c *sdk.Context, _ struct{}) (sdk.None, error) {
		_, err := c.Write(sdk.Unit{Do: []sql.Statement{sql.New("SELECT ?", string(make([]byte, 2000)))}})
		return sdk.None{}, err
	}, sdk.Writes())
	resp := p.Invoke(t.Context(), distant{client: pluginv1.NewHostServiceClient(conn)}, &pluginv1.InvokeRequest{Command: "probe.Write", Payload: []byte("{}")})
	if err := sdk.ErrorFromProto(resp.GetError()); !errors.Is(err, sdk.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}
