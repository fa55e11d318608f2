package sdktest

import (
	"context"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// committed is when the events of this package happened.
var committed = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Before asks the plugin's hook on a command, as the host does before the command
// runs. The exchange has an error when the hook refuses.
func Before[Request, Response any](h *Host, cmd sdk.Command[Request, Response], in Request) *Exchange {
	h.t.Helper()
	return h.exchange("before "+cmd.Name, h.marshal(in), func(ctx context.Context, x *Exchange, token string) *pluginv1.Error {
		return h.plugin.Before(ctx, callbacks{h}, &pluginv1.BeforeRequest{Request: h.request(cmd.Name, x.Input, token)}).GetError()
	})
}

// Notify delivers an event to the plugin, as the host does after the commit: with
// the id event-1, committed on 2026-01-02 at 03:04:05 UTC, for the first time. The exchange
// has an error when the plugin wants it again.
func Notify[Payload any](h *Host, event sdk.Event[Payload], payload Payload) *Exchange {
	h.t.Helper()
	return h.exchange("after "+event.Name, h.marshal(payload), func(ctx context.Context, x *Exchange, token string) *pluginv1.Error {
		return h.plugin.Notify(ctx, callbacks{h}, &pluginv1.NotifyRequest{
			EventId: "event-1", CallToken: token, Target: h.target(), Event: event.Name, Payload: x.Input,
			RequestId: requestID, RunId: h.RunID, Committed: timestamppb.New(committed), Attempt: 1,
		}).GetError()
	})
}

// exchange runs what answers nothing but an error.
func (h *Host) exchange(what string, input json.RawMessage, run func(ctx context.Context, x *Exchange, token string) *pluginv1.Error) *Exchange {
	x := &Exchange{Command: what, Input: input, writes: true}
	ctx, end := context.WithCancel(h.Context)
	defer end()
	defer h.end()
	if err := run(ctx, x, h.begin(x)); err != nil {
		x.Result = &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Error{Error: err}}
	}
	return x
}

// Configure gives the plugin its settings, a value that becomes a JSON object, as
// the host does before the first command: it refuses what breaks the schema that
// the plugin declares, and returns what the plugin refuses. Without it the plugin
// has its defaults.
func (h *Host) Configure(settings any) error {
	h.t.Helper()
	raw := h.marshal(settings)
	schema := h.plugin.Describe().GetConfigSchema()
	if schema == nil {
		h.t.Fatalf("sdktest: the plugin declares no settings (sdk.Config)")
	}
	if err := check(schema, raw); err != nil {
		return sdk.ErrMalformed.Errorf("%v", err)
	}
	return sdk.ErrorFromProto(h.plugin.Configure(raw))
}
