package wire

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// plugin is an author's plugin that does what the test wants.
type plugin struct {
	invoke func(context.Context, Host, *pluginv1.InvokeRequest) *pluginv1.InvokeResponse
}

func (plugin) Describe() *pluginv1.DescribeResponse {
	return &pluginv1.DescribeResponse{Name: "probe", Version: "1.0.0"}
}

func (p plugin) Invoke(ctx context.Context, h Host, r *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
	return p.invoke(ctx, h, r)
}

// Configure refuses all settings but {}.
func (plugin) Configure(config []byte) *pluginv1.Error {
	if len(config) == 0 || string(config) == "{}" {
		return nil
	}
	return &pluginv1.Error{Detail: string(config)}
}

func (plugin) Before(_ context.Context, _ Host, r *pluginv1.BeforeRequest) *pluginv1.BeforeResponse {
	return &pluginv1.BeforeResponse{Error: &pluginv1.Error{Detail: r.GetRequest().GetCommand()}}
}

func (plugin) Notify(_ context.Context, _ Host, r *pluginv1.NotifyRequest) *pluginv1.NotifyResponse {
	return &pluginv1.NotifyResponse{Error: &pluginv1.Error{Detail: r.GetEventId()}}
}

func (plugin) SetLogger(hclog.Logger) {}

// host answers each callback with what it was asked.
type host struct {
	pluginv1.UnimplementedHostServiceServer
	query    func(context.Context) (*pluginv1.QueryResponse, error)
	transact func(grpc.BidiStreamingServer[pluginv1.TransactRequest, pluginv1.TransactResponse]) error
}

func (h host) Transact(s grpc.BidiStreamingServer[pluginv1.TransactRequest, pluginv1.TransactResponse]) error {
	return h.transact(s)
}

func (host) StartJob(_ context.Context, r *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error) {
	return &pluginv1.StartJobResponse{JobId: r.GetCommand()}, nil
}

func (host) Progress(_ context.Context, r *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error) {
	return &pluginv1.ProgressResponse{Error: &pluginv1.Error{Detail: r.GetMessage()}}, nil
}

func (h host) Query(ctx context.Context, _ *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return h.query(ctx)
}

func (host) Write(_ context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	return &pluginv1.WriteResponse{Answer: []byte(r.GetCallToken())}, nil
}

func (host) Call(_ context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	return &pluginv1.CallResponse{Json: []byte(r.GetCommand())}, nil
}

func (host) Lease(_ context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	return &pluginv1.LeaseResponse{Error: &pluginv1.Error{Detail: r.GetCallToken()}}, nil
}

func (host) CreateFile(_ context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	return &pluginv1.CreateFileResponse{File: &pluginv1.File{Name: r.GetSpec().GetName()}}, nil
}

func (host) GetFile(_ context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	return &pluginv1.GetFileResponse{File: &pluginv1.File{Id: r.GetFileId()}}, nil
}

func (host) RegisterFile(_ context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	return &pluginv1.RegisterFileResponse{File: &pluginv1.File{Path: r.GetStagingPath()}}, nil
}

func (host) DeleteFile(_ context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	return &pluginv1.DeleteFileResponse{Error: &pluginv1.Error{Detail: r.GetFileId()}}, nil
}

// both is this package's half of the connection with a host's half.
type both struct {
	*grpcPlugin
	host pluginv1.HostServiceServer
}

func (b *both) GRPCClient(ctx context.Context, broker *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	client := pluginv1.NewPluginServiceClient(conn)
	id := broker.NextId()
	go broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(opts...)
		pluginv1.RegisterHostServiceServer(s, b.host)
		return s
	})
	_, err := client.Configure(ctx, &pluginv1.ConfigureRequest{HostBrokerId: id, LogLevel: "warn"})
	return client, err
}

// connect runs both halves over gRPC and returns the host's client.
func connect(t *testing.T, p plugin, h host) (pluginv1.PluginServiceClient, hclog.Logger) {
	t.Helper()
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info})
	client, _ := goplugin.TestPluginGRPCConn(t, false, map[string]goplugin.Plugin{
		pluginv1.DispenseName: &both{&grpcPlugin{plugin: p, log: log}, h},
	})
	// It stops the server, which must not be stopped twice at once.
	t.Cleanup(func() { client.Close() })
	raw, err := client.Dispense(pluginv1.DispenseName)
	if err != nil {
		t.Fatal(err)
	}
	return raw.(pluginv1.PluginServiceClient), log
}

func TestDescribeAndConfigure(t *testing.T) {
	t.Parallel()
	client, log := connect(t, plugin{}, host{})
	got, err := client.Describe(t.Context(), &pluginv1.DescribeRequest{})
	if diff := cmp.Diff(plugin{}.Describe(), got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := client.Health(t.Context(), &pluginv1.HealthRequest{}); err != nil {
		t.Error(err)
	}
	before, err := client.Before(t.Context(), &pluginv1.BeforeRequest{Request: &pluginv1.InvokeRequest{Command: "a.B"}})
	if err != nil || before.GetError().GetDetail() != "a.B" {
		t.Errorf("Before: %v, %v", before, err)
	}
	notify, err := client.Notify(t.Context(), &pluginv1.NotifyRequest{EventId: "7"})
	if err != nil || notify.GetError().GetDetail() != "7" {
		t.Errorf("Notify: %v, %v", notify, err)
	}
	refused, err := client.Configure(t.Context(), &pluginv1.ConfigureRequest{Config: []byte(`{"a":1}`)})
	if err != nil || refused.GetError().GetDetail() != `{"a":1}` {
		t.Errorf("settings that are refused: %v, %v", refused, err)
	}
	if log.GetLevel() != hclog.Warn {
		t.Errorf("the level of the log is %v, want the host's", log.GetLevel())
	}
}

// Each callback reaches the host's method of that name, with what it carries.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	client, _ := connect(t, plugin{func(ctx context.Context, h Host, _ *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
		note := func(name, value string, err error) {
			if got[name] = value; err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		q, err := h.Query(ctx, &pluginv1.QueryRequest{})
		note("Query", string(q.GetRows()), err)
		w, err := h.Write(ctx, &pluginv1.WriteRequest{CallToken: "token"})
		note("Write", string(w.GetAnswer()), err)
		c, err := h.Call(ctx, &pluginv1.CallRequest{Command: "a.B"})
		note("Call", string(c.GetJson()), err)
		l, err := h.Lease(ctx, &pluginv1.LeaseRequest{CallToken: "l"})
		note("Lease", l.GetError().GetDetail(), err)
		job, err := h.StartJob(ctx, &pluginv1.StartJobRequest{Command: "a.Long"})
		note("StartJob", job.GetJobId(), err)
		progress, err := h.Progress(ctx, &pluginv1.ProgressRequest{Message: "half"})
		note("Progress", progress.GetError().GetDetail(), err)
		create, err := h.CreateFile(ctx, &pluginv1.CreateFileRequest{Spec: &pluginv1.FileSpec{Name: "n"}})
		note("CreateFile", create.GetFile().GetName(), err)
		get, err := h.GetFile(ctx, &pluginv1.GetFileRequest{FileId: "7"})
		note("GetFile", get.GetFile().GetId(), err)
		register, err := h.RegisterFile(ctx, &pluginv1.RegisterFileRequest{StagingPath: "staging/x"})
		note("RegisterFile", register.GetFile().GetPath(), err)
		remove, err := h.DeleteFile(ctx, &pluginv1.DeleteFileRequest{FileId: "8"})
		note("DeleteFile", remove.GetError().GetDetail(), err)
		return &pluginv1.InvokeResponse{}
	}}, host{query: func(context.Context) (*pluginv1.QueryResponse, error) {
		return &pluginv1.QueryResponse{Rows: []byte("rows")}, nil
	}})
	if _, err := client.Invoke(t.Context(), &pluginv1.InvokeRequest{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Query": "rows", "Write": "token", "Call": "a.B", "Lease": "l", "StartJob": "a.Long", "Progress": "half", "CreateFile": "n", "GetFile": "7", "RegisterFile": "staging/x", "DeleteFile": "8",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// When the host gives a call up, its callbacks end and so does what the host does
// for them.
func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	handled, ended := make(chan error, 1), make(chan error, 1)
	client, _ := connect(t, plugin{func(ctx context.Context, h Host, _ *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
		_, err := h.Query(ctx, &pluginv1.QueryRequest{})
		handled <- err
		return &pluginv1.InvokeResponse{}
	}}, host{query: func(query context.Context) (*pluginv1.QueryResponse, error) {
		cancel()
		<-query.Done()
		ended <- query.Err()
		return nil, query.Err()
	}})
	if _, err := client.Invoke(ctx, &pluginv1.InvokeRequest{}); err == nil {
		t.Error("a call that was given up has an answer")
	}
	if err := <-handled; err == nil {
		t.Error("the callback has an answer")
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the host's part of the callback: %v", err)
	}
}

// Drain waits for the calls that run.
func TestDrain(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	client, _ := connect(t, plugin{func(context.Context, Host, *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
		close(running)
		<-release
		return &pluginv1.InvokeResponse{}
	}}, host{})
	if _, err := client.Drain(t.Context(), &pluginv1.DrainRequest{}); err != nil {
		t.Fatalf("nothing runs: %v", err)
	}
	invoked, drained := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := client.Invoke(t.Context(), &pluginv1.InvokeRequest{})
		invoked <- err
	}()
	<-running
	go func() {
		_, err := client.Drain(t.Context(), &pluginv1.DrainRequest{})
		drained <- err
	}()
	// A request that comes after Drain is answered, and Drain is not.
	if _, err := client.Health(t.Context(), &pluginv1.HealthRequest{}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-drained:
		t.Errorf("Drain returned while a call runs: %v", err)
	default:
	}
	close(release)
	for _, c := range []chan error{invoked, drained} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
}
