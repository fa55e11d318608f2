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
	// Configure takes the settings, or says what is wrong with them.
	Configure(config []byte) *pluginv1.Error
	Invoke(context.Context, Host, *pluginv1.InvokeRequest) *pluginv1.InvokeResponse
	Before(context.Context, Host, *pluginv1.BeforeRequest) *pluginv1.BeforeResponse
	Notify(context.Context, Host, *pluginv1.NotifyRequest) *pluginv1.NotifyResponse
	SetLogger(hclog.Logger)
}

// Serve answers the host until it ends the process. It does not return.
func Serve(p Plugin) {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
	go exitWithParent(os.Getppid())
	log := hclog.New(&hclog.LoggerOptions{Name: p.Describe().GetName(), Level: hclog.Info, Output: os.Stderr, JSONFormat: true})
	p.SetLogger(log)
	goplugin.Serve(serveConfig(p, log))
}

// serveConfig is what go-plugin has to know.
func serveConfig(p Plugin, log hclog.Logger, options ...grpc.ServerOption) *goplugin.ServeConfig {
	return &goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins: goplugin.PluginSet{pluginv1.DispenseName: &grpcPlugin{plugin: p, log: log}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			opts = append(opts, grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxSendMsgSize(pluginv1.MaxMessageBytes))
			return grpc.NewServer(append(opts, options...)...)
		},
		Logger: log,
	}
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

	running sync.WaitGroup // calls in progress
	mu      sync.Mutex
	host    Host
}

func (s *server) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return s.plugin.Describe(), nil
}

func (s *server) Configure(_ context.Context, req *pluginv1.ConfigureRequest) (*pluginv1.ConfigureResponse, error) {
	if level := hclog.LevelFromString(req.GetLogLevel()); level != hclog.NoLevel {
		s.log.SetLevel(level)
	}
	if refusal := s.plugin.Configure(req.GetConfig()); refusal != nil {
		return &pluginv1.ConfigureResponse{Error: refusal}, nil
	}
	conn, err := s.broker.DialWithOptions(req.GetHostBrokerId(), grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxCallSendMsgSize(pluginv1.MaxMessageBytes)))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = remoteHost{pluginv1.NewHostServiceClient(conn)}
	return &pluginv1.ConfigureResponse{}, nil
}

func (s *server) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	host, done := s.begin()
	defer done()
	return s.plugin.Invoke(ctx, host, req), nil
}

func (s *server) Before(ctx context.Context, req *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	host, done := s.begin()
	defer done()
	return s.plugin.Before(ctx, host, req), nil
}

func (s *server) Notify(ctx context.Context, req *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	host, done := s.begin()
	defer done()
	return s.plugin.Notify(ctx, host, req), nil
}

// begin counts a call in.
func (s *server) begin() (host Host, done func()) {
	s.running.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.host, s.running.Done
}

func (s *server) Health(context.Context, *pluginv1.HealthRequest) (*pluginv1.HealthResponse, error) {
	return &pluginv1.HealthResponse{}, nil
}

func (s *server) Drain(context.Context, *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	s.running.Wait()
	return &pluginv1.DrainResponse{}, nil
}
