package sdktest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// patience is how long a call may take that has nothing to wait for, or whose
// request has ended.
const patience = 10 * time.Second

// subject is a plugin under test, in process or at the other end of a connection.
type subject interface {
	Invoke(context.Context, *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error)
	Before(context.Context, *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error)
	Notify(context.Context, *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error)
}

// behaviour asks a plugin what its author did not foresee.
type behaviour struct {
	t      testing.TB
	plugin subject
	host   *adversary
	log    func() string // what the plugin has logged
	calls  atomic.Int64
	told   bool // of a panic
}

// behave reports what a plugin does wrong with commands that it does not know, inputs
// that are wrong, callbacks that fail and requests that end.
func (b *behaviour) behave(d *pluginv1.DescribeResponse) {
	b.t.Helper()
	b.unknown(d)
	for _, c := range d.GetCommands() {
		in := payloadsFor(c.GetInputSchema())
		run := func(payload string) *pluginv1.Error { return b.invoke(b.t.Context(), c.GetName(), payload).GetError() }
		b.feed("command "+c.GetName(), in, run)
		for _, payload := range in.valid {
			b.cancel(c.GetName(), payload)
		}
	}
	for _, h := range d.GetHooks() {
		b.feed("the hook before "+h.GetCommand(), payloadsFor(nil), func(payload string) *pluginv1.Error { return b.before(h.GetCommand(), payload) })
	}
	for _, event := range d.GetSubscriptions() {
		b.feed("the subscription to "+event, payloadsFor(nil), func(payload string) *pluginv1.Error { return b.notify(event, payload) })
	}
	b.host.mu.Lock()
	defer b.host.mu.Unlock()
	for _, name := range b.host.late {
		b.t.Errorf("a callback %s came when its call was over: a handler must wait for what it started (Context.Go)", name)
	}
}

// unknown asks for what the plugin does not offer.
func (b *behaviour) unknown(d *pluginv1.DescribeResponse) {
	b.t.Helper()
	command := d.GetName() + ".NoSuchCommand"
	if e := b.invoke(b.t.Context(), command, "{}").GetError(); e.GetKind() != pluginv1.Kind_KIND_UNSUPPORTED {
		b.t.Errorf("a command that it does not have is answered with %v, not with an error of kind unsupported", e)
	}
	if len(d.GetHooks()) > 0 && b.before(command, "{}") == nil {
		b.t.Errorf("a hook that it does not have is answered without an error")
	}
	if len(d.GetSubscriptions()) > 0 && b.notify(d.GetName()+".NoSuchEvent", "{}") == nil {
		b.t.Errorf("an event that it does not subscribe to is answered without an error")
	}
}

// feed gives something inputs of every sort.
func (b *behaviour) feed(what string, in payloads, run func(payload string) *pluginv1.Error) {
	b.t.Helper()
	for _, payload := range in.malformed {
		if run(payload) == nil {
			b.t.Errorf("%s takes the input %.40q, which is no object, without an error", what, payload)
		}
		b.panicked(what, payload)
	}
	for _, payload := range in.invalid {
		run(payload) // the host would have refused it; it may be answered in any way
		b.panicked(what, payload)
	}
	for _, payload := range in.valid {
		// With a pointer it is the handler that refuses a value.
		if e := run(payload); e.GetCode() == sdk.ErrMalformed.Slug && e.GetPointer() == "" {
			b.t.Errorf("%s: its schema accepts %.200s, and the plugin does not: %s", what, payload, e.GetDetail())
		}
		b.panicked(what, payload)
	}
}

// cancel ends requests: before they begin, and in their first callback.
func (b *behaviour) cancel(command, payload string) {
	b.t.Helper()
	ended, end := context.WithCancel(b.t.Context())
	end()
	b.invoke(ended, command, payload)
	ctx, leave := context.WithCancel(b.t.Context())
	defer leave()
	b.host.meeting(func(callback context.Context) {
		leave()
		<-callback.Done()
	})
	defer b.host.meeting(nil)
	b.invoke(ctx, command, payload)
	b.panicked(command, payload)
}

// invoke runs a command. It reports a call that does not end.
func (b *behaviour) invoke(ctx context.Context, command, payload string) *pluginv1.InvokeResponse {
	b.t.Helper()
	r := b.request(command, payload)
	return within(ctx, b, command, payload, r.GetCallToken(), func(ctx context.Context) (*pluginv1.InvokeResponse, error) {
		return b.plugin.Invoke(ctx, r)
	})
}

func (b *behaviour) before(command, payload string) *pluginv1.Error {
	b.t.Helper()
	r := b.request(command, payload)
	return within(b.t.Context(), b, "before "+command, payload, r.GetCallToken(), func(ctx context.Context) (*pluginv1.BeforeResponse, error) {
		return b.plugin.Before(ctx, &pluginv1.BeforeRequest{Request: r})
	}).GetError()
}

func (b *behaviour) notify(event, payload string) *pluginv1.Error {
	b.t.Helper()
	r := b.request(event, payload)
	return within(b.t.Context(), b, "after "+event, payload, r.GetCallToken(), func(ctx context.Context) (*pluginv1.NotifyResponse, error) {
		return b.plugin.Notify(ctx, &pluginv1.NotifyRequest{
			EventId: r.GetCallToken(), CallToken: r.GetCallToken(), Target: r.GetTarget(), Event: event, Payload: r.GetPayload(),
			RequestId: r.GetRequestId(), Attempt: 1,
		})
	}).GetError()
}

func (b *behaviour) request(command, payload string) *pluginv1.InvokeRequest {
	return &pluginv1.InvokeRequest{
		Command: command, Payload: []byte(payload), CallToken: fmt.Sprintf("call-%d", b.calls.Add(1)), RequestId: "conform",
		Accept: "application/json", Target: &pluginv1.Target{Project: "demo", Branch: "default"},
		Principal: &pluginv1.Principal{Subject: "project:demo", Project: "demo", Permissions: sdk.LevelAdmin.Names()},
	}
}

// within runs a call and fails the test if it does not end in time, or breaks the
// connection.
func within[Response any](ctx context.Context, b *behaviour, what, payload, token string, call func(context.Context) (Response, error)) (out Response) {
	b.t.Helper()
	done := make(chan error, 1)
	end := b.host.begin(token)
	go func() {
		var err error
		out, err = call(ctx)
		if ctx.Err() == nil { // else it may still run at the other end
			end()
		}
		done <- err
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-done:
		if err != nil && ctx.Err() == nil {
			b.t.Fatalf("%s with the input %.100q: %v\n%s", what, payload, err, b.log())
		}
	case <-limit.C:
		b.t.Fatalf("%s with the input %.100q has not ended within %v", what, payload, patience)
	}
	return out
}

// panicked reports a panic, once.
func (b *behaviour) panicked(what, payload string) {
	b.t.Helper()
	log := b.log()
	if i := strings.Index(log, "panic: "); i >= 0 && !b.told {
		b.told = true
		b.t.Errorf("%s panics with the input %.200q:\n%.2000s", what, payload, log[i:])
	}
}
