package process

import (
	"context"
	"fmt"
	"net"
	"strconv"

	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Reattach names a plugin process that somebody else started, for a debugger: it
// is spoken to without TLS, is not watched, and is never killed. It serves one host at a
// time, and the next one when that has left.
type Reattach struct {
	Protocol int    `json:"protocol"` // wire protocol number
	Network  string `json:"network"`  // unix
	Address  string `json:"address"`  // path of its socket
	PID      int    `json:"pid"`
}

// adapt makes go-plugin connect in place of starting something. Test is its name
// for a process that it does not end.
func (r *Reattach) adapt(c *goplugin.ClientConfig, to *child) {
	c.RunnerFunc, c.AutoMTLS = nil, false
	c.Reattach = &goplugin.ReattachConfig{
		Protocol: goplugin.ProtocolGRPC, ProtocolVersion: r.Protocol, Test: true,
		Addr:         &net.UnixAddr{Net: "unix", Name: r.Address},
		Pid:          r.PID,
		ReattachFunc: func() (runner.AttachedRunner, error) { return attached{to}, r.fits() },
	}
}

// fits reports why the host cannot speak with the process.
func (r *Reattach) fits() error {
	switch {
	case r.Protocol != pluginv1.ProtocolVersion:
		return errProtocol(strconv.Itoa(r.Protocol))
	case r.Network != "unix":
		return refuse(fmt.Errorf("it serves on a network called %q, and a host connects to unix sockets", r.Network))
	}
	return nil
}

// detach leaves a process that this host did not start. go-plugin's Close would end
// it.
func (c *connection) detach() {
	if c.broker != nil {
		_ = c.broker.Close()
	}
	if grpcClient, ok := c.protocol.(*goplugin.GRPCClient); ok {
		_ = grpcClient.Conn.Close()
	}
}

// attached stands for such a process. Its end is the host's leaving: go-plugin would
// ask every second whether it lives, until it does not.
type attached struct{ child *child }

func (a attached) Wait(context.Context) error {
	<-a.child.exited
	return nil
}

func (attached) Kill(context.Context) error { return nil }
func (a attached) ID() string               { return a.child.ID() }

func (attached) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (attached) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
