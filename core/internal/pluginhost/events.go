package pluginhost

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// notifyTime bounds a delivery. A subscriber works in the background, but the events
// after this one wait for it.
const notifyTime = 10 * time.Minute

// event is an event that a plugin declared.
type event struct {
	name   string
	plugin string
	schema *jsonschema.Schema
}

// newEvent compiles the schema of a declaration.
func newEvent(plugin string, e *pluginv1.Event) (*event, error) {
	schema, err := compileSchema("event "+e.GetName(), e.GetSchema())
	if err != nil {
		return nil, err
	}
	return &event{name: e.GetName(), plugin: plugin, schema: schema}, nil
}

// fault is what is wrong with a payload, or empty.
func (e *event) fault(payload []byte) string {
	if len(payload) > outbox.MaxPayloadBytes {
		return fmt.Sprintf("its payload has %d bytes, and %d are allowed: name what is large, and keep it in a table or a file", len(payload), outbox.MaxPayloadBytes)
	}
	if !utf8.Valid(payload) {
		return "its payload is not UTF-8"
	}
	switch found, err := violations(e.schema, payload); {
	case err != nil:
		return "its payload is no JSON: " + err.Error()
	case len(found) > 0:
		return "its payload does not fit its schema: " + describe(found)
	}
	return ""
}

// openEvents starts what delivers events.
func (h *Host) openEvents() *outbox.Dispatcher {
	return outbox.Open(outbox.Config{
		Executor: h.cfg.Executor, Logger: h.cfg.Logger.Named("events"), Deliver: h.notify, State: h.subscriber, Projects: h.projects,
	})
}

// Events tells what became of the events of each subscriber.
func (h *Host) Events() []outbox.Counts { return h.events.Counts() }

// projects lists those whose catalogs may have events; a host that only describes
// plugins has none.
func (h *Host) projects() []string {
	if h.cfg.Executor == nil || h.cfg.Executor.Registry == nil {
		return nil
	}
	var ids []string
	for _, p := range h.cfg.Executor.Registry.Projects(registry.Active) {
		ids = append(ids, p.ID)
	}
	return ids
}

// subscriber tells whether a plugin gets its events now.
func (h *Host) subscriber(name string) outbox.State {
	switch m := h.memberOf(name); {
	case m.runs():
		return outbox.On
	case h.world().members[name] != nil:
		return outbox.Off
	}
	return outbox.Unknown
}

// findEvents has the catalogs looked through when a subscriber has come up that was
// not there before: events may wait for it.
func (h *Host) findEvents(before *world) {
	for _, m := range slices.Concat(h.local, h.world().sorted()) {
		was := before.members[m.name]
		if m.runs() && len(m.description.GetSubscriptions()) > 0 && (was == nil || !was.runs()) {
			h.events.Scan()
			return
		}
	}
}

// emission is events on their way into the transaction that they are about.
type emission struct {
	host   *Host
	target *pluginv1.Target
	events []outbox.Event
	stored bool
}

// emit checks the events of a plan before anything of it is done. An event that the
// plugin did not declare, or that is not as it declared, is the plugin's mistake.
func (h *Host) emit(r *run, emissions []*pluginv1.Emission) (*emission, error) {
	out := &emission{host: h, target: r.Target}
	if len(emissions) > outbox.MaxEvents {
		return nil, sdk.ErrInternal.Errorf("plugin %s broke its contract in %s: it emits %d events, and a transaction may have %d; nothing was written",
			r.plugin, r.step, len(emissions), outbox.MaxEvents).With("plugin", r.plugin)
	}
	for _, e := range emissions {
		if fault := h.faultOf(r, e); fault != "" {
			return nil, sdk.ErrInternal.Errorf("plugin %s broke its contract in %s: it emits the event %s, but %s; nothing was written",
				r.plugin, r.step, e.GetEvent(), fault).With("plugin", r.plugin).With("event", e.GetEvent())
		}
		subscribers := h.listeners(r, e.GetEvent())
		if len(subscribers) == 0 {
			continue
		}
		if r.depth() > sdk.MaxCallDepth {
			return nil, tooDeep(r, e.GetEvent(), subscribers)
		}
		out.events = append(out.events, outbox.Event{
			ID: rand.Text(), Name: e.GetEvent(), Payload: e.GetPayload(), RequestID: r.RequestID, RunID: r.RunID, Depth: r.depth(), Subscribers: subscribers,
		})
	}
	return out, nil
}

// tooDeep refuses an event that follows from too many others, most likely from itself.
func tooDeep(r *run, event string, subscribers []string) error {
	return sdk.ErrConflict.Errorf("the event %s is not emitted, and nothing was written: calls, jobs and events lead to one another more than %d deep, here %s → %s; "+
		"a plugin that hears of an event (of this one: %s) must not bring it about again, nor have others do so",
		event, sdk.MaxCallDepth, r.shown(), event, strings.Join(subscribers, ", ")).With("plugin", r.plugin).With("event", event)
}

// faultOf is what is wrong with an emission of a run, or empty. A plugin that a reload
// has taken away ends what it has begun, with the events that it had then.
func (h *Host) faultOf(r *run, e *pluginv1.Emission) string {
	fault := "it does not declare it"
	for _, declared := range []*event{h.event(e.GetEvent()), r.world.events[e.GetEvent()]} {
		if declared == nil || declared.plugin != r.plugin {
			continue
		}
		if fault = declared.fault(e.GetPayload()); fault == "" {
			return ""
		}
	}
	return fault
}

// listeners names the plugins that want to hear of an event of a run: those of now,
// and those of its beginning, which lose sight of the event when its plugin leaves.
func (h *Host) listeners(r *run, event string) []string {
	names := h.subscribersOf(event)
	for _, m := range r.world.subscribing[event] {
		if !slices.Contains(names, m.name) {
			names = append(names, m.name)
		}
	}
	return names
}

// along stores the events with the plan. Events that nobody hears of cost nothing.
func (e *emission) along() []plan.Along {
	if len(e.events) == 0 {
		return nil
	}
	return []plan.Along{func() ([]sql.Statement, error) {
		e.stored = true
		return outbox.Insert(e.events, time.Now()), nil
	}}
}

// committed has the events delivered, if their transaction was committed: if it was
// not, there is nothing to find.
func (e *emission) committed() {
	if !e.stored {
		return
	}
	count := map[string]int{}
	for _, event := range e.events {
		for _, s := range event.Subscribers {
			count[s]++
		}
	}
	e.host.events.Committed(e.target, count)
}

// notify delivers an event to a subscriber, which acts in its own name: inside the
// project of the event, with what the operator granted it.
func (h *Host) notify(ctx context.Context, d outbox.Delivery) (err error) {
	m := h.memberOf(d.Subscriber)
	if m.runs() && !slices.Contains(m.description.GetSubscriptions(), d.Event) {
		return nil // this release of the plugin does not want it any more
	}
	call := Call{
		Command: d.Event, Payload: d.Payload, Target: d.Target, RequestID: d.RequestID, RunID: d.RunID, Depth: d.Depth,
		Principal: auth.Principal{Subject: "plugin:" + d.Subscriber, Project: d.Target.GetProject(), Level: sdk.LevelAdmin},
	}
	r := &run{Call: call, step: "after " + d.Event, plugin: d.Subscriber, grants: m.grants, world: h.world(), writes: true}
	if x := h.cfg.Executor; x.Registry != nil {
		ctx = x.Registry.Within(ctx, d.Target.GetProject())
	}
	defer h.release(r)
	defer func(start time.Time) { h.audit(r, err, time.Since(start)) }(time.Now())
	bounded, cancel := context.WithTimeout(queue.As(ctx, call.writer()), notifyTime)
	defer cancel()
	var resp *pluginv1.NotifyResponse
	h.asking(bounded, r, func(ctx context.Context, req *pluginv1.InvokeRequest) {
		resp, err = m.Notify(ctx, &pluginv1.NotifyRequest{
			EventId: d.ID, CallToken: req.GetCallToken(), Target: d.Target, Event: d.Event, Payload: d.Payload,
			RequestId: d.RequestID, RunId: d.RunID, Committed: timestamppb.New(d.Committed), Attempt: uint32(d.Attempt),
		})
	})
	if err == nil {
		err = sdk.ErrorFromProto(resp.GetError())
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		late := sdk.ErrTimeout.Errorf("plugin %s took longer than %v for the event", d.Subscriber, notifyTime)
		late.Retryable = false
		return late
	}
	return err
}
