//go:build unix

package sdktest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk/internal/wire"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// maxIdleMiB is the memory that a process may hold before its first command. A
// plugin in Go holds 15 MiB, one in Python 40.
const maxIdleMiB = 64

// ConformBinary checks a plugin's binary, in whatever language, as the host runs it:
// all that [Conform] checks of declarations and behaviour, over the connection, and
// of the process that it starts and describes itself in the same way each time, takes
// settings, answers health checks, ignores SIGTERM, drains before it ends, ends when
// asked and when its parent has died, prints nothing on stdout but the handshake, and
// holds less than 64 MiB before its first command.
func ConformBinary(t testing.TB, path string) {
	t.Helper()
	host := newAdversary()
	c, d := open(t, host, path)
	defer c.Close()
	idle(t, c.PID())
	again, other := open(t, newAdversary(), path)
	if !proto.Equal(d, other) {
		t.Errorf("plugin %s describes itself differently at each start", d.GetName())
	}
	ends(t, again)
	for _, fault := range declarations(d) {
		t.Errorf("%s", fault)
	}
	b := &behaviour{t: t, plugin: c, host: host, log: c.Stderr}
	b.behave(d)
	if survives(t, c) {
		drains(t, b, c, d)
	}
	if lines := strings.Split(strings.TrimSpace(c.Stdout()), "\n"); len(lines) != 1 {
		t.Errorf("it prints on stdout, which belongs to the handshake: %q", lines[1:])
	}
	ends(t, c)
	orphan(t, path)
}

// open starts the binary as far as the first command.
func open(t testing.TB, host pluginv1.HostServiceServer, command ...string) (*wire.Client, *pluginv1.DescribeResponse) {
	t.Helper()
	c, err := wire.Open(command...)
	if err != nil {
		t.Fatalf("%s does not start: %v", command, err)
	}
	fail := func(what string, err error) {
		c.Close()
		t.Fatalf("%s: %s: %v\n%s", command, what, err, c.Stderr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.Describe(ctx)
	if err != nil {
		fail("describe", err)
	}
	var config []byte
	if schema := d.GetConfigSchema(); schema != nil {
		config = []byte(mustJSON(example(parseSchema(schema))))
	}
	resp, err := c.Configure(ctx, config, host)
	if err == nil && resp.GetError() != nil {
		err = fmt.Errorf("it refuses %s: %s", config, resp.GetError().GetDetail())
	}
	if err != nil {
		fail("configure", err)
	}
	if err := c.Health(ctx); err != nil {
		fail("health", err)
	}
	return c, d
}

// idle measures the memory of the process, where the system tells it.
func idle(t testing.TB, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "VmRSS:" {
			continue
		}
		if kib, err := strconv.Atoi(fields[1]); err != nil || kib >= maxIdleMiB<<10 {
			t.Errorf("the process holds %s KiB before its first command, not less than %d MiB", fields[1], maxIdleMiB)
		}
	}
}

// survives sends what service managers send to the whole group.
func survives(t testing.TB, c *wire.Client) bool {
	t.Helper()
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
	soon := time.NewTimer(200 * time.Millisecond)
	defer soon.Stop()
	select {
	case <-c.Exited():
		t.Errorf("SIGTERM ends it, before the host has drained it")
		return false
	case <-soon.C:
		if err := c.Health(t.Context()); err != nil {
			t.Errorf("after SIGTERM it does not answer: %v", err)
			return false
		}
	}
	return true
}

// drains asks the plugin to drain while a call runs, if there is a command that
// makes a callback and so can be held.
func drains(t testing.TB, b *behaviour, c *wire.Client, d *pluginv1.DescribeResponse) {
	t.Helper()
	drained := make(chan error, 1)
	drain := func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		drained <- c.Drain(ctx)
	}
	release := holdCall(b, d)
	go drain()
	if release != nil {
		soon := time.NewTimer(200 * time.Millisecond)
		defer soon.Stop()
		select {
		case err := <-drained:
			t.Errorf("Drain returns while a call runs (error: %v)", err)
			go drain()
		case <-soon.C:
		}
		release()
	}
	if err := <-drained; err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// holdCall starts a call and returns when it is inside of a callback, together with
// what lets it go and waits for its end; or nil if no command makes one.
func holdCall(b *behaviour, d *pluginv1.DescribeResponse) (release func()) {
	for _, command := range d.GetCommands() {
		for _, payload := range payloadsFor(command.GetInputSchema()).valid {
			inside, free, done := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
			b.host.meeting(func(ctx context.Context) {
				select {
				case inside <- struct{}{}:
				default: // it is not the first
				}
				select {
				case <-free:
				case <-ctx.Done():
				}
			})
			r := b.request(command.GetName(), payload)
			end := b.host.begin(r.GetCallToken())
			go func() {
				defer close(done)
				defer end()
				ctx, cancel := context.WithTimeout(b.t.Context(), patience)
				defer cancel()
				if _, err := b.plugin.Invoke(ctx, r); err != nil {
					b.t.Errorf("%s while the plugin drains: %v", command.GetName(), err)
				}
			}()
			select {
			case <-inside:
				return func() {
					close(free)
					<-done
					b.host.meeting(nil)
				}
			case <-done:
				b.host.meeting(nil)
			}
		}
	}
	return nil
}

// ends asks the process to end.
func ends(t testing.TB, c *wire.Client) {
	t.Helper()
	begin := time.Now()
	c.Close()
	// After two seconds it was killed.
	if took := time.Since(begin); took > 1900*time.Millisecond {
		t.Errorf("it does not end when it is asked to: it was killed after %v", took)
	}
}

// orphan kills the parent of the process.
func orphan(t testing.TB, path string) {
	t.Helper()
	c, _ := open(t, newAdversary(), "/bin/sh", "-c", `"$0" & wait`, path)
	defer c.Close()
	if err := c.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("SIGKILL of its parent: %v", err)
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-c.Silent():
	case <-limit.C:
		t.Errorf("it outlives its parent by more than %v", patience)
	}
}
