package sdk_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

var other = sdk.Command[request, sdk.None]{Name: "other.Drop"}

// before asks a hook of other.Drop.
func before(t *testing.T, p *sdk.Plugin, command, payload string) error {
	resp := p.Before(t.Context(), nil, &pluginv1.BeforeRequest{Request: &pluginv1.InvokeRequest{Command: command, Payload: []byte(payload)}})
	return sdk.ErrorFromProto(resp.GetError())
}

func TestBefore(t *testing.T) {
	t.Parallel()
	p := sdk.New("probe", "1.0.0")
	sdk.Before(p, other, func(_ *sdk.Context, in request) error {
		switch in.Bucket {
		case "kept":
			return sdk.ErrConflict.Errorf("%q is kept", in.Bucket)
		case "panic":
			panic("secret")
		}
		return nil
	}, sdk.Within(1500*time.Millisecond), sdk.FailOpen())
	want := []*pluginv1.Hook{{Command: "other.Drop", TimeoutSeconds: 2, FailOpen: true}}
	if diff := cmp.Diff(want, p.Describe().GetHooks(), protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := before(t, p, "other.Drop", `{"bucket":"a","ofALaterRelease":1}`); err != nil {
		t.Errorf("no objection: %v", err)
	}
	if err := before(t, p, "other.Drop", `{"bucket":"kept"}`); !errors.Is(err, sdk.ErrConflict) || err.Error() != `"kept" is kept` {
		t.Errorf("a veto: %v", err)
	}
	if err := before(t, p, "other.Drop", `{"bucket":"panic"}`); !errors.Is(err, sdk.ErrInternal) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a panic: %v", err)
	}
	if err := before(t, p, "other.Drop", `[]`); !errors.Is(err, sdk.ErrInternal) {
		t.Errorf("an input of another type: %v", err)
	}
	if err := before(t, p, "other.Create", `{}`); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("no hook: %v", err)
	}
}

// A goroutine of the handler may fail without ending the process, and none is left
// when the handler returns.
func TestGo(t *testing.T) {
	t.Parallel()
	release, ended := make(chan struct{}), false
	in(t, func(c *sdk.Context) {
		bad := c.Go(func() error { panic("secret") })
		good := c.Go(func() error { return nil })
		c.Go(func() error { <-release; ended = true; return nil })
		if err := good(); err != nil {
			t.Errorf("no error: %v", err)
		}
		for range 2 { // it may be asked again
			if err := bad(); err == nil || !strings.Contains(err.Error(), "panic: secret") {
				t.Errorf("a panic: %v", err)
			}
		}
		close(release)
	}, nil)
	if !ended {
		t.Error("a goroutine outlived its handler")
	}
}
