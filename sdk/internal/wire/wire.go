// Package wire is the plugin's side of the connection to the host: go-plugin,
// gRPC and the life of the process. Nothing else in the SDK knows them.
//
// The process ends when the host says so or when the host is gone: it ignores
// SIGTERM, because service managers send it to the whole group before the host
// has drained, and it watches its parent.
package wire

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Plugin is what an author's plugin looks like from here.
type Plugin interface {
	Describe() *pluginv1.DescribeResponse
	Invoke(context.Context, pluginv1.HostServiceServer, *pluginv1.InvokeRequest) *pluginv1.InvokeResponse
	SetLogger(hclog.Logger)
}

// Serve answers the host until it ends the process. It does not return.
func Serve(p Plugin) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	go exitWithParent(os.Getppid())
	log := hclog.New(&hclog.LoggerOptions{Name: p.Describe().GetName(), Level: hclog.Info, Output: os.Stderr, JSONFormat: true})
	p.SetLogger(log)
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins: goplugin.PluginSet{pluginv1.DispenseName: &grpcPlugin{plugin: p, log: log}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxSendMsgSize(pluginv1.MaxMessageBytes))...)
		},
		Logger: log,
	})
}

// exitWithParent ends the process once the host is no longer its parent. The
// kernel does the same through Pdeathsig; this also covers a host that could
// not set it.
func exitWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

// grpcPlugin registers the plugin's service with go-plugin.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	plugin Plugin
	log    hclog.Logger
}

func (g *grpcPlugin) GRPCServer(broker *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServiceServer(s, &server{plugin: g.plugin, log: g.log, broker: broker})
	return nil
}

// GRPCClient is the host's half, which the host has itself.
func (g *grpcPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// server answers the host.
type server struct {
	plugin Plugin
	log    hclog.Logger
	broker *goplugin.GRPCBroker

	running sync.WaitGroup // Invoke calls in progress
	mu      sync.Mutex
	host    hostClient
}

func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return s.plugin.Describe(), nil
}

func (s *server) Configure(_ context.Context, req *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if level := hclog.LevelFromString(req.GetLogLevel()); level != hclog.NoLevel {
		s.log.SetLevel(level)
	}
	conn, err := s.broker.DialWithOptions(req.GetHostBrokerId(), grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxCallSendMsgSize(pluginv1.MaxMessageBytes)))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = hostClient{pluginv1.NewHostServiceClient(conn)}
	return &pluginv1.ConfigureResponse{}, nil
}

func (s *server) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	s.running.Add(1)
	defer s.running.Done()
	s.mu.Lock()
	host := s.host
	s.mu.Unlock()
	return s.plugin.Invoke(ctx, host, req), nil
}

func (s *server) Health(context.Context, *pluginv1.HealthRequest) (*pluginv1.HealthResponse, error) {
	return &pluginv1.HealthResponse{}, nil
}

func (s *server) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	s.running.Wait()
	return &pluginv1.DrainResponse{}, nil
}

// hostClient turns the generated client into the same interface that a host in
// the same process implements.
type hostClient struct{ c pluginv1.HostServiceClient }

func (h hostClient) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return h.c.Query(ctx, r)
}

func (h hostClient) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	return h.c.Write(ctx, r)
}

func (h hostClient) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	return h.c.Call(ctx, r)
}

func (h hostClient) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	return h.c.Lease(ctx, r)
}

func (h hostClient) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	return h.c.CreateFile(ctx, r)
}

func (h hostClient) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	return h.c.GetFile(ctx, r)
}

func (h hostClient) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	return h.c.RegisterFile(ctx, r)
}

func (h hostClient) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	return h.c.DeleteFile(ctx, r)
}
