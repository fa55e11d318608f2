package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Reattachment says where a plugin serves that the host has not started. As JSON it
// is the file that the setting plugins.<name>.reattach names.
type Reattachment struct {
	Protocol int    `json:"protocol"` // wire protocol number
	Network  string `json:"network"`  // unix
	Address  string `json:"address"`  // of the socket
	PID      int    `json:"pid"`
}

// Attachable serves the plugin in this process to any host that finds it, without
// TLS, until ctx ends; ended is closed when nothing of it is left. The address is in
// dir and stays the same for one host after another.
func Attachable(ctx context.Context, p Plugin, log hclog.Logger, dir string) (at Reattachment, ended <-chan struct{}, err error) {
	p.SetLogger(log)
	at = Reattachment{Protocol: pluginv1.ProtocolVersion, Network: "unix", Address: filepath.Join(dir, "plugin.sock"), PID: os.Getpid()}
	served, err := serveOne(ctx, p, log, at.Address)
	if err != nil {
		return Reattachment{}, nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			<-served
			if ctx.Err() != nil {
				return
			}
			if served, err = serveOne(ctx, p, log, at.Address); err != nil {
				log.Error("cannot serve another host", "error", err)
				return
			}
		}
	}()
	return at, done, nil
}

// serveOne serves until ctx ends or the first host leaves: go-plugin's broker does
// not survive it. served is closed then. link leads to the socket.
func serveOne(ctx context.Context, p Plugin, log hclog.Logger, link string) (served <-chan struct{}, err error) {
	ctx, left := context.WithCancel(ctx)
	found, closed := make(chan *goplugin.ReattachConfig, 1), make(chan struct{})
	config := serveConfig(p, log, grpc.StatsHandler(leaving{left}))
	config.Logger = hclog.NewNullLogger() // it calls the end an error
	config.Test = &goplugin.ServeTestConfig{Context: ctx, ReattachConfigCh: found, CloseCh: closed}
	go goplugin.Serve(config)
	select {
	case c := <-found:
		_ = os.Remove(link) // there is none the first time
		if err := os.Symlink(c.Addr.String(), link); err != nil {
			left()
			<-closed
			return nil, err
		}
		return closed, nil
	case <-closed:
		left()
		return nil, errors.New("the plugin cannot listen: is the temporary directory writable?")
	}
}

// leaving calls a function when a connection ends.
type leaving struct{ left func() }

func (l leaving) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); ok {
		l.left()
	}
}

func (leaving) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (leaving) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (leaving) HandleRPC(context.Context, stats.RPCStats)                         {}

// WriteFile puts it where a host finds it.
func (r Reattachment) WriteFile(path string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o600)
}

// debug serves until Ctrl-C, so that a debugger may have started the process.
func debug(p Plugin, stdout, stderr io.Writer) int {
	name := p.Describe().GetName()
	if err := debugUntilSignal(p, name, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "plugin-%s: %v\n", name, err)
		return exitFailed
	}
	return 0
}

func debugUntilSignal(p Plugin, name string, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "plugin-"+name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv(goplugin.EnvUnixSocketDir, dir); err != nil {
		return err
	}
	// A person reads it.
	log := hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Info, Output: stderr})
	at, ended, err := Attachable(ctx, p, log, dir)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "reattach.json")
	if err := at.WriteFile(file); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "plugin-%s serves as process %d until Ctrl-C. Add this to the configuration of the host, and start or reload it:\n", name, at.PID)
	fmt.Fprintf(stdout, "plugins:\n  %s:\n    reattach: %s\n", name, file)
	<-ended
	return nil
}
