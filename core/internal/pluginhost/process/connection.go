package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// connection is one process that serves, and the way to it. It ends with the
// process: a restart makes another.
type connection struct {
	child       *child
	client      *goplugin.Client
	protocol    goplugin.ClientProtocol // nil until the handshake
	plugin      pluginv1.PluginServiceClient
	broker      *goplugin.GRPCBroker
	description *pluginv1.DescribeResponse
	killTimeout time.Duration
	callbacks   sync.WaitGroup // the server of the host's callbacks
}

// connect starts a process and returns when it is ready for Invoke. With a
// description, the process must describe itself in the same way.
func connect(ctx context.Context, cfg Config, fork *forker, want *pluginv1.DescribeResponse) (*connection, error) {
	return launch(ctx, cfg, fork, func(ctx context.Context, c *connection) error {
		if err := c.describe(ctx, cfg, want); err != nil {
			return err
		}
		return c.configure(ctx, cfg)
	})
}

// launch starts a process and takes it as far as open does. A process that does not
// come so far is ended, and the error says why.
func launch(ctx context.Context, cfg Config, fork *forker, open func(context.Context, *connection) error) (*connection, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.StartTimeout, fmt.Errorf("%w (%v)", errStartTimeout, cfg.StartTimeout))
	defer cancel()
	c := &connection{child: newChild(cfg, fork), killTimeout: cfg.KillTimeout}
	c.client = goplugin.NewClient(c.clientConfig(cfg))
	// go-plugin's start knows no context; the end of the process ends it too.
	stop := context.AfterFunc(ctx, c.child.kill)
	err := open(ctx, c)
	stop()
	if err != nil {
		if status.Code(err) == codes.Unavailable {
			c.child.endsWithin(ctx, exitWait) // what it says is better than ours
		}
		c.child.kill()
		c.close()
		return nil, c.startError(ctx, err)
	}
	return c, nil
}

func (c *connection) clientConfig(cfg Config) *goplugin.ClientConfig {
	config := &goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:          goplugin.PluginSet{pluginv1.DispenseName: dispenser{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     cfg.StartTimeout,
		Logger:           quiet{cfg.Logger},
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: cfg.RuntimeDir},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			c.child.handshake, c.child.socketDir = cmd.Env, socketDir
			return c.child, nil
		},
		// What the plugin prints after the handshake, when go-plugin has put
		// its own pipes in the place of os.Stdout and os.Stderr.
		SyncStdout: &lines{emit: c.child.out.line},
		SyncStderr: &lines{emit: c.child.out.line},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxCallSendMsgSize(pluginv1.MaxMessageBytes))},
	}
	if cfg.Reattach != nil {
		cfg.Reattach.adapt(config, c.child)
	}
	return config
}

// describe goes from nothing to a plugin that has said who it is. It has learned
// nothing of the host yet.
func (c *connection) describe(ctx context.Context, cfg Config, want *pluginv1.DescribeResponse) error {
	protocol, err := c.client.Client()
	if err != nil {
		return err
	}
	c.protocol = protocol
	dispensed, err := protocol.Dispense(pluginv1.DispenseName)
	if err != nil {
		return err
	}
	remote := dispensed.(remote)
	c.plugin, c.broker = remote.plugin, remote.broker
	if c.description, err = c.plugin.Describe(ctx, &pluginv1.DescribeRequest{HostFeatures: cfg.Features}); err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	switch name := c.description.GetName(); {
	case name != cfg.Name:
		return fmt.Errorf("%w %q", errOtherName, name)
	case want == nil:
		return refuse(cfg.Check(c.description))
	case !proto.Equal(c.description, want):
		return errOtherDescription
	}
	return nil
}

// configure hands the settings over, and the way back to the host.
func (c *connection) configure(ctx context.Context, cfg Config) error {
	id, err := c.serveHost(ctx, c.broker, cfg.Host, cfg.Logger)
	if err != nil {
		return err
	}
	resp, err := c.plugin.Configure(ctx, &pluginv1.ConfigureRequest{
		HostBrokerId: id, LogLevel: cfg.Logger.GetLevel().String(), Config: cfg.Settings,
	})
	switch {
	case err != nil:
		return fmt.Errorf("configure: %w", err)
	case resp.GetError() != nil:
		said := strings.TrimPrefix(resp.GetError().GetDetail(), "plugin "+cfg.Name+" ")
		return refuse(fmt.Errorf("%s (change plugins.%s.config)", said, cfg.Name))
	}
	return nil
}

// health returns an error when the plugin does not answer in time.
func (c *connection) health(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.plugin.Health(ctx, &pluginv1.HealthRequest{})
	return err
}

// close ends the process if it has not ended, and returns when nothing of it is
// left: no goroutine, no file, no callback.
//
// A plugin that does not end when asked is killed after killTimeout; go-plugin
// alone would wait for it for ever.
func (c *connection) close() {
	watchdog := time.AfterFunc(c.killTimeout, c.child.kill)
	defer watchdog.Stop()
	if c.child.attached != nil {
		c.child.kill()
		c.detach()
	}
	c.client.Kill()
	if c.child.started() {
		<-c.child.closed
	}
	if c.child.socketDir != "" {
		// go-plugin leaves it behind when a start fails early.
		_ = os.RemoveAll(c.child.socketDir)
	}
	c.callbacks.Wait()
}

// dispenser is the host's half of what the SDK serves.
type dispenser struct {
	goplugin.NetRPCUnsupportedPlugin
}

// remote is what dispenser dispenses.
type remote struct {
	plugin pluginv1.PluginServiceClient
	broker *goplugin.GRPCBroker
}

func (dispenser) GRPCClient(_ context.Context, broker *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return remote{pluginv1.NewPluginServiceClient(conn), broker}, nil
}

func (dispenser) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves no plugin")
}

// quiet passes go-plugin's own remarks on as debug lines: it calls every crash
// and every stop an error or a warning, and the supervisor knows better which
// it was.
type quiet struct{ hclog.Logger }

func (q quiet) Named(string) hclog.Logger     { return q }
func (q quiet) Info(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Warn(msg string, args ...any)  { q.Debug(msg, args...) }
func (q quiet) Error(msg string, args ...any) { q.Debug(msg, args...) }
