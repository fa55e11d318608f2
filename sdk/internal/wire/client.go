//go:build unix

package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// startTimeout is how long a plugin may take until it serves, as with the host.
const startTimeout = 10 * time.Second

// Client is a plugin's process as the host sees it, for the tests of a binary. It
// starts, asks and ends the process; unlike the host it does not watch it.
type Client struct {
	process *process
	client  *goplugin.Client
	plugin  pluginv1.PluginServiceClient
	broker  *goplugin.GRPCBroker

	socketDir string
}

// Open starts a command that is or starts a plugin, and shakes hands.
func Open(command ...string) (*Client, error) {
	c := &Client{process: newProcess(command)}
	c.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion:  pluginv1.ProtocolVersion,
			MagicCookieKey:   pluginv1.MagicCookieKey,
			MagicCookieValue: pluginv1.MagicCookieValue,
		},
		Plugins:          goplugin.PluginSet{pluginv1.DispenseName: dispenser{}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     startTimeout,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{},
		SyncStdout:       &c.process.stdout,
		SyncStderr:       &c.process.stderr,
		RunnerFunc: func(_ hclog.Logger, spec *exec.Cmd, socketDir string) (runner.Runner, error) {
			c.socketDir = socketDir
			c.process.cmd.Env = slices.Concat(spec.Env, environment())
			return c.process, nil
		},
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxCallSendMsgSize(pluginv1.MaxMessageBytes))},
	})
	if err := c.connect(); err != nil {
		c.Close()
		return nil, fmt.Errorf("%w\n%s", err, c.Stderr())
	}
	return c, nil
}

func (c *Client) connect() error {
	protocol, err := c.client.Client()
	if err != nil {
		return err
	}
	dispensed, err := protocol.Dispense(pluginv1.DispenseName)
	if err != nil {
		return err
	}
	half := dispensed.(hostHalf)
	c.plugin, c.broker = half.plugin, half.broker
	return nil
}

// Configure gives the plugin its settings and the host that answers its callbacks.
func (c *Client) Configure(ctx context.Context, config []byte, host pluginv1.HostServiceServer) (*pluginv1.ConfigureResponse, error) {
	id, listening := c.broker.NextId(), make(chan struct{})
	go c.broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		defer close(listening)
		s := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes), grpc.MaxSendMsgSize(pluginv1.MaxMessageBytes))...)
		pluginv1.RegisterHostServiceServer(s, host)
		return s
	})
	select {
	case <-listening:
	case <-time.After(startTimeout):
		return nil, errors.New("cannot listen for the callbacks: is the temporary directory writable?")
	}
	return c.plugin.Configure(ctx, &pluginv1.ConfigureRequest{HostBrokerId: id, LogLevel: "info", Config: config})
}

// Describe asks what the plugin offers.
func (c *Client) Describe(ctx context.Context) (*pluginv1.DescribeResponse, error) {
	return c.plugin.Describe(ctx, &pluginv1.DescribeRequest{})
}

// Invoke runs a command.
func (c *Client) Invoke(ctx context.Context, r *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return c.plugin.Invoke(ctx, r)
}

// Before asks a hook.
func (c *Client) Before(ctx context.Context, r *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	return c.plugin.Before(ctx, r)
}

// Notify delivers an event.
func (c *Client) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return c.plugin.Notify(ctx, r)
}

// Health asks whether the plugin is well.
func (c *Client) Health(ctx context.Context) error {
	_, err := c.plugin.Health(ctx, &pluginv1.HealthRequest{})
	return err
}

// Drain waits until nothing runs.
func (c *Client) Drain(ctx context.Context) error {
	_, err := c.plugin.Drain(ctx, &pluginv1.DrainRequest{})
	return err
}

// PID is the process id of the command.
func (c *Client) PID() int { return c.process.pid() }

// Signal sends a signal to the command, and not to what it started.
func (c *Client) Signal(s syscall.Signal) error { return syscall.Kill(c.PID(), s) }

// Exited is closed when the command has ended.
func (c *Client) Exited() <-chan struct{} { return c.process.exited }

// Silent is closed when the command and all that it started have closed stdout,
// which they do at the latest when they end.
func (c *Client) Silent() <-chan struct{} { return c.process.silent }

// Stdout is what came on stdout, the handshake included, and Stderr what came on
// stderr.
func (c *Client) Stdout() string { return c.process.stdout.text() }

// Stderr is what came on stderr.
func (c *Client) Stderr() string { return c.process.stderr.text() }

// Close asks the process to end, ends it after two seconds, and returns when nothing
// of it is left.
func (c *Client) Close() {
	c.client.Kill()
	if c.socketDir != "" { // go-plugin leaves it behind when there was no process
		_ = os.RemoveAll(c.socketDir)
	}
}

// hostHalf is what dispenser dispenses.
type hostHalf struct {
	plugin pluginv1.PluginServiceClient
	broker *goplugin.GRPCBroker
}

type dispenser struct {
	goplugin.NetRPCUnsupportedPlugin
}

func (dispenser) GRPCClient(_ context.Context, broker *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return hostHalf{pluginv1.NewPluginServiceClient(conn), broker}, nil
}

func (dispenser) GRPCServer(*goplugin.GRPCBroker, *grpc.Server) error {
	return errors.New("this is the host's half")
}
