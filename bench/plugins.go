package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// hops are plugins that do nothing. With the areas of the product that exist they
// make six.
var hops = []string{"hop", "hop2", "hop3"}

// callers are how many clients call at the same time, one number after the other.
var callers = []int{1, 8, 32}

// maxOutage is how long a crashed plugin may be away.
const maxOutage = 100 * time.Millisecond

// plugins measures what it costs that areas are processes of their own: a call, many
// calls at once, a crash, a start.
func plugins(ctx context.Context, b *bench) (err error) {
	settings, err := buildHops(ctx, b.dir)
	if err != nil {
		return err
	}
	s, err := b.open(ctx, "plugins", settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	inHost, inPlugin := s.get("/admin/queues"), s.get(s.project.Path("x", "hop"))
	if err := b.hop(ctx, inHost, inPlugin); err != nil {
		return err
	}
	for _, n := range callers {
		if err := b.crowd(ctx, n, inHost, inPlugin); err != nil {
			return err
		}
	}
	if err := b.crashes(ctx, s, inPlugin); err != nil {
		return err
	}
	return b.starts(ctx, s)
}

// buildHops returns the settings with which a service finds them.
func buildHops(ctx context.Context, dir string) (settings []string, err error) {
	for _, name := range hops {
		path := filepath.Join(dir, "plugin-"+name)
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-X main.name="+name, "-o", path, "github.com/keboola/duckdb-storage/bench/plugin-hop")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
		settings = append(settings, "DUCKDB_STORAGE_PLUGINS__"+name+"__PATH="+path)
	}
	return settings, nil
}

// get asks with the admin key, which may call a command of the host, too.
func (s *site) get(path string) func(context.Context) error {
	admin := s.service.Admin()
	return func(ctx context.Context) error {
		_, err := admin.Do(ctx, http.MethodGet, path, nil, io.Discard)
		return err
	}
}

// hop compares a command of a plugin with one of the host, both of which do nothing.
func (b *bench) hop(ctx context.Context, inHost, inPlugin func(context.Context) error) error {
	host := &way{name: "a command of the host", ask: inHost}
	plugin := &way{name: "a command of a plugin", ask: inPlugin}
	if err := b.latencies(ctx, []*way{plugin, host}); err != nil {
		return err
	}
	_, err := fmt.Fprintf(b.out, "%-40s p50 %6d µs   p99 %6d µs\n", "one hop: the difference",
		(plugin.times.median() - host.times.median()).Microseconds(), (plugin.times.at(0.99) - host.times.at(0.99)).Microseconds())
	return err
}

// crowd counts how many calls in a second n clients get through.
func (b *bench) crowd(ctx context.Context, n int, inHost, inPlugin func(context.Context) error) error {
	perSecond := func(call func(context.Context) error) (float64, error) {
		const long = 2 * time.Second
		until, cancel := context.WithTimeout(ctx, long)
		defer cancel()
		var calls atomic.Int64
		clients := make([]func(context.Context) error, n)
		for i := range clients {
			clients[i] = func(ctx context.Context) error {
				for until.Err() == nil {
					if err := call(ctx); err != nil {
						return err
					}
					calls.Add(1)
				}
				return nil
			}
		}
		err := together(ctx, clients...)
		return float64(calls.Load()) / long.Seconds(), err
	}
	host, err := perSecond(inHost)
	if err != nil {
		return err
	}
	plugin, err := perSecond(inPlugin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.out, "%-40s plugin %6.0f   host %6.0f   ratio %.2f\n", fmt.Sprintf("calls a second, %d callers", n), plugin, host, plugin/host)
	return err
}

// crashes kills a plugin and asks it at once.
func (b *bench) crashes(ctx context.Context, s *site, ask func(context.Context) error) error {
	var outages times
	for range b.rounds {
		// A restart forgets the crashes before, which would make the next one wait.
		if _, err := s.service.Admin().Do(ctx, http.MethodPost, "/admin/plugins/hop/restart", nil, io.Discard); err != nil {
			return err
		}
		pid, err := s.service.PluginPID("hop")
		if err != nil {
			return err
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
		took, err := timed(ctx, ask)
		if err != nil {
			return err
		}
		outages = append(outages, took)
	}
	_, err := fmt.Fprintf(b.out, "%-40s p50 %s ms   most %s ms   %s\n", "killed, until it has answered again", ms(outages.median()), ms(outages.at(1)),
		verdict(outages.median().Seconds(), maxOutage.Seconds()))
	return err
}

// starts compares the start of the service with that of the service without plugins.
func (b *bench) starts(ctx context.Context, s *site) (err error) {
	none := filepath.Join(b.dir, "no-plugins")
	if err := os.Mkdir(none, 0o700); err != nil {
		return err
	}
	alone := s.start
	alone.Args, alone.Env = []string{"--plugin-dir", none}, nil
	p := pair{service: side{pid: os.Getpid(), run: s.startWith(s.start)}, raw: side{pid: os.Getpid(), run: s.startWith(alone)}}
	if err := p.alternate(ctx, b.rounds); err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.out, "%-40s %s ms, without plugins %s ms\n", "start to serving, six plugins", ms(p.service.times.median()), ms(p.raw.times.median()))
	return err
}

// startWith stops the service and measures how long it takes until it serves again.
func (s *site) startWith(o service.Options) run {
	return func(ctx context.Context) (time.Duration, error) {
		if err := s.service.Stop(); err != nil {
			return 0, err
		}
		began := time.Now()
		started, err := service.Start(ctx, o)
		took := time.Since(began)
		if err != nil {
			return 0, errors.Join(err, s.service.Kill())
		}
		s.service = started
		return took, nil
	}
}
