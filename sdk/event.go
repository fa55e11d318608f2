package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Event is a fact that others may hear of once it is committed. The area that
// commits it declares it beside its commands; whoever wants to hear of it imports
// it.
type Event[Payload any] struct {
	Name    string // area and fact, for example "tables.Dropped"
	Summary string // one sentence
}

// Of is an occurrence of the event, for Unit.Events and Tx.Emit.
func (e Event[Payload]) Of(payload Payload) Emission {
	return Emission{event: e.Name, payload: payload}
}

// Emission is one occurrence of an event. Make it with Event.Of.
type Emission struct {
	event   string
	payload any
}

func (e Emission) proto() (*pluginv1.Emission, error) {
	payload, err := json.Marshal(e.payload)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.event, err)
	}
	return &pluginv1.Emission{Event: e.event, Payload: payload}, nil
}

// Emits declares an event of the plugin: its Units may carry it.
func Emits[Payload any](p *Plugin, e Event[Payload]) {
	schema, err := marshalSchema(reflect.TypeFor[Payload]())
	if err != nil {
		panic(fmt.Sprintf("sdk: event %s: %v", e.Name, err))
	}
	p.description.Events = append(p.description.Events, &pluginv1.Event{Name: e.Name, Summary: e.Summary, Schema: schema})
}

// Notice is an event as its subscribers hear of it.
type Notice[Payload any] struct {
	ID        string    // the same in each delivery
	Committed time.Time // UTC
	Attempt   int       // from 1
	Payload   Payload
}

// notice runs an author's subscription.
type notice func(c *Context, r *pluginv1.NotifyRequest) error

// After has fn called with each event that was committed while the plugin was
// switched on; to hear of another area takes that area's read permission.
//
// The event is stored in the transaction that it is about, so none is lost and none
// is told of a write that did not happen. It is delivered at least once (a process
// may die between fn and the host's note of it: use Notice.ID, or do what may be
// repeated), and those of one catalog in the order of their commits, one at a time.
//
// The context has no client: its callbacks act in the name of the plugin, on the
// catalog of the event, with what the operator granted. An error has the event
// delivered again, later each time. For as long as the error is retryable nothing
// else of that catalog is delivered to the plugin; any other is tried five times,
// and then the event is set aside.
func After[Payload any](p *Plugin, e Event[Payload], fn func(*Context, Notice[Payload]) error) {
	if _, dup := p.notices[e.Name]; dup {
		panic("sdk: the subscription to " + e.Name + " is declared twice")
	}
	p.description.Subscriptions = append(p.description.Subscriptions, e.Name)
	p.notices[e.Name] = func(c *Context, r *pluginv1.NotifyRequest) error {
		n := Notice[Payload]{ID: r.GetEventId(), Committed: r.GetCommitted().AsTime(), Attempt: int(r.GetAttempt())}
		if err := json.Unmarshal(r.GetPayload(), &n.Payload); err != nil {
			return ErrInternal.Errorf("plugin %s cannot read event %s: %v", p.description.GetName(), e.Name, err)
		}
		return fn(c, n)
	}
}

// Notify delivers an event, as the host does after its commit.
func (p *Plugin) Notify(ctx context.Context, host Host, req *pluginv1.NotifyRequest) *pluginv1.NotifyResponse {
	c := p.context(ctx, host, &pluginv1.InvokeRequest{
		Command: req.GetEvent(), CallToken: req.GetCallToken(), Target: req.GetTarget(),
		RequestId: req.GetRequestId(), RunId: req.GetRunId(),
		Principal: &pluginv1.Principal{Subject: "plugin:" + p.description.GetName(), Project: req.GetTarget().GetProject(), Permissions: LevelAdmin.Names()},
	}, "after "+req.GetEvent())
	err := c.run(func() error {
		n, ok := p.notices[req.GetEvent()]
		if !ok {
			return ErrUnsupported.Errorf("plugin %s does not subscribe to %s", p.description.GetName(), req.GetEvent())
		}
		return n(c, req)
	})
	return &pluginv1.NotifyResponse{Error: err.Proto()}
}
