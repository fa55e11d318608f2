package sdk_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

type fact struct {
	Table string `json:"table"`
}

var (
	dropped = sdk.Event[fact]{Name: "probe.Dropped", Summary: "It was dropped."}
	unsaid  = sdk.Event[func()]{Name: "probe.Unsaid"}
)

func TestAfter(t *testing.T) {
	t.Parallel()
	committed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := sdk.New("probe", "1.0.0")
	var got sdk.Notice[fact]
	sdk.After(p, dropped, func(c *sdk.Context, n sdk.Notice[fact]) error {
		if c.Project() != "7" || c.RequestID() != "r" || c.RunID() != "run" || c.Subject() != "plugin:probe" || c.KeyProject() != "7" || c.Admin() {
			t.Errorf("the context: %s %s %s %s %s %v", c.Project(), c.RequestID(), c.RunID(), c.Subject(), c.KeyProject(), c.Admin())
		}
		if got = n; n.Attempt > 1 {
			return sdk.ErrUnavailable.Errorf("later")
		}
		return nil
	})
	notify := func(event, payload string, attempt uint32) error {
		return sdk.ErrorFromProto(p.Notify(t.Context(), nil, &pluginv1.NotifyRequest{
			EventId: "e-1", Target: &pluginv1.Target{Project: "7", Branch: "default"}, Event: event, Payload: []byte(payload),
			RequestId: "r", RunId: "run", Committed: timestamppb.New(committed), Attempt: attempt,
		}).GetError())
	}
	if err := notify("probe.Dropped", `{"table":"t","ofALaterRelease":1}`, 1); err != nil {
		t.Error(err)
	}
	if want := (sdk.Notice[fact]{ID: "e-1", Committed: committed, Attempt: 1, Payload: fact{"t"}}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := notify("probe.Dropped", `{}`, 2); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("an error of the subscriber: %v", err)
	}
	if err := notify("probe.Dropped", `[]`, 1); !errors.Is(err, sdk.ErrInternal) {
		t.Errorf("a payload of another type: %v", err)
	}
	if err := notify("probe.Made", `{}`, 1); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("no subscription: %v", err)
	}
}

// The events of a Unit travel with it; one that is no JSON keeps it from being sent.
func TestUnitEvents(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event   sdk.Emission
		payload string
	}{{dropped.Of(fact{"t"}), `{"table":"t"}`}, {unsaid.Of(nil), ""}} {
		p := sdk.New("probe", "1.0.0")
		cmd := sdk.Command[struct{}, sdk.None]{Name: "probe.Drop"}
		sdk.Handle(p, cmd, func(*sdk.Context, struct{}) (sdk.Unit, error) {
			return sdk.Unit{Do: []sql.Statement{sql.New("DROP TABLE t")}, Events: []sdk.Emission{tt.event}}, nil
		}, sdk.Writes())
		resp := p.Invoke(t.Context(), nil, &pluginv1.InvokeRequest{Command: "probe.Drop", Payload: []byte("{}")})
		if tt.payload == "" {
			if err := sdk.ErrorFromProto(resp.GetError()); !errors.Is(err, sdk.ErrInternal) {
				t.Errorf("a payload that is no JSON: %v", err)
			}
			continue
		}
		events := resp.GetUnit().GetEvents()
		if len(events) != 1 || events[0].GetEvent() != "probe.Dropped" || string(events[0].GetPayload()) != tt.payload {
			t.Errorf("the events: %v", events)
		}
	}
}
