package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

var probe = sdk.Command[struct{}, response]{Name: "probe.Run", Summary: "Do what the test wants."}

// doing is a plugin whose one command does what fn says.
func doing(fn func(*sdk.Context) (response, error)) *sdk.Plugin {
	p := sdk.New("probe", "1.0.0")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, sdk.ReadFiles, sdk.WriteFiles, "other:read")
	sdk.Handle(p, probe, func(c *sdk.Context, _ struct{}) (response, error) { return fn(c) }, sdk.Writes())
	return p
}

// in runs fn as a handler.
func in(t *testing.T, fn func(*sdk.Context), answers func(*sdktest.Host)) {
	t.Helper()
	ran := false
	h := sdktest.New(t, doing(func(c *sdk.Context) (response, error) { fn(c); ran = true; return response{}, nil }))
	if answers != nil {
		answers(h)
	}
	if err := sdktest.Invoke(h, probe, struct{}{}).Err(); err != nil || !ran {
		t.Errorf("the handler: %v, ran %v", err, ran)
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	type row struct {
		ID   int64   `json:"id"`
		Name *string `json:"name"`
	}
	in(t, func(c *sdk.Context) {
		rows, err := sdk.Query[row](c, sql.New("SELECT 1"))
		if diff := cmp.Diff([]row{{ID: 1<<62 + 1}, {ID: 2, Name: new(string)}}, rows); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		none, err := sdk.Query[row](c, sql.New("SELECT 2"))
		if err != nil || len(none) != 0 {
			t.Errorf("no rows: %v, %v", none, err)
		}
		if _, err := sdk.Query[row](c, sql.New("SELECT 3")); err == nil || !strings.Contains(err.Error(), "decode query result") {
			t.Errorf("a row of another type: %v", err)
		}
		if _, err := sdk.Query[row](c, sql.New("SELECT 4")); !errors.Is(err, sdk.ErrBucketNotFound) || err.Error() != "no bucket" {
			t.Errorf("an error of the host: %v", err)
		}
	}, func(h *sdktest.Host) {
		h.OnQuery("SELECT 1", map[string]any{"id": 1<<62 + 1, "name": nil, "more": true}, map[string]any{"id": 2, "name": ""})
		h.OnQuery("SELECT 2")
		h.OnQuery("SELECT 3", map[string]any{"id": "x"})
		h.Fail("Query", "SELECT 4", sdk.ErrBucketNotFound.Errorf("no bucket"))
	})
}

func TestWrite(t *testing.T) {
	t.Parallel()
	unit := sdk.Unit{Do: []sql.Statement{sql.New("DELETE FROM t")}, Answer: sql.New("SELECT 1 AS a")}
	in(t, func(c *sdk.Context) {
		got, err := c.Write(unit)
		if diff := cmp.Diff(sdk.WriteResult{RowsAffected: []int64{3}, Answer: []byte(`{"a":1}`)}, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if _, err := c.Write(unit); !errors.Is(err, sdk.ErrQueueFull) {
			t.Errorf("an error of the host: %v", err)
		}
	}, func(h *sdktest.Host) {
		h.OnWrite("DELETE FROM t", map[string]int{"a": 1}, 3)
		h.Fail("Write", "", sdk.ErrQueueFull.Errorf("full"))
	})
}

func TestLease(t *testing.T) {
	t.Parallel()
	in(t, func(c *sdk.Context) {
		if err := c.Lease(); !errors.Is(err, sdk.ErrQueueWait) {
			t.Errorf("an error of the host: %v", err)
		}
		if err := c.Lease(); err != nil {
			t.Errorf("after an error: %v", err)
		}
	}, func(h *sdktest.Host) {
		h.Fail("Lease", "", sdk.ErrQueueWait.Errorf("too long"))
		h.OnLease()
	})
	in(t, func(c *sdk.Context) {
		short, cancel := c.WithTimeout(0)
		defer cancel()
		if err := short.Lease(); !errors.Is(err, sdk.ErrCancelled) {
			t.Errorf("out of time: %v", err)
		}
	}, nil)
}

func TestCall(t *testing.T) {
	t.Parallel()
	none := sdk.Command[request, sdk.None]{Name: "other.Drop"}
	some := sdk.Command[request, response]{Name: "other.Info"}
	wrong := sdk.Command[request, int]{Name: "other.Info"}
	in(t, func(c *sdk.Context) {
		if _, err := sdk.Call(c, none, request{Bucket: "b"}); err != nil {
			t.Errorf("without an answer: %v", err)
		}
		if got, err := sdk.Call(c, some, request{}); err != nil || got.Text != "x" {
			t.Errorf("%v, %v", got, err)
		}
		if _, err := sdk.Call(c, wrong, request{}); err == nil || !strings.Contains(err.Error(), "decode answer of other.Info") {
			t.Errorf("an answer of another type: %v", err)
		}
		if _, err := sdk.Call(c, some, request{}); !errors.Is(err, sdk.ErrPluginOff) {
			t.Errorf("an error of the host: %v", err)
		}
		if _, err := sdk.Call(c, sdk.Command[func(), response]{Name: "other.Bad"}, nil); err == nil {
			t.Error("an input that is no JSON was sent")
		}
	}, func(h *sdktest.Host) {
		h.OnCall("other.Drop", nil)
		h.OnCall("other.Info", response{"x"})
		h.OnCall("other.Info", response{"x"})
		h.Fail("Call", "other.Info", sdk.ErrPluginOff.Errorf("off"))
	})
}

func TestFiles(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	expires := created.AddDate(0, 0, 15)
	want := sdk.FileInfo{
		ID: "7", Name: "n", Created: created, SizeBytes: 5, ContentType: "text/csv", Tags: []string{"a"}, Expires: &expires,
		State: sdk.FileUploaded, SHA256: "ff", Path: "staging/7-n", HostPath: "/data/staging/7-n",
	}
	permanent := sdk.FileInfo{ID: "8", Created: created, IsPermanent: true, Tags: []string{}}
	in(t, func(c *sdk.Context) {
		for _, want := range []sdk.FileInfo{want, permanent} {
			got, err := c.Files().Get(want.ID)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		}
		if _, err := c.Files().RegisterPath("staging/x", sdk.FileSpec{}); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("RegisterPath: %v", err)
		}
		if err := c.Files().Delete("7"); !errors.Is(err, sdk.ErrFileNotFound) {
			t.Errorf("Delete: %v", err)
		}
	}, func(h *sdktest.Host) {
		h.OnGetFile("7", want)
		h.OnGetFile("8", permanent)
		h.Fail("RegisterFile", "staging/x", sdk.ErrInvalid.Errorf("elsewhere"))
		h.Fail("DeleteFile", "7", sdk.ErrFileNotFound.Errorf("none"))
	})
}

// A callback may be given less time than the request has.
func TestWithTimeout(t *testing.T) {
	t.Parallel()
	in(t, func(c *sdk.Context) {
		short, cancel := c.WithTimeout(0)
		defer cancel()
		if _, err := sdk.Query[response](short, sql.New("SELECT 1")); !errors.Is(err, sdk.ErrCancelled) {
			t.Errorf("out of time: %v", err)
		}
		if _, err := sdk.Query[response](c, sql.New("SELECT 2")); err != nil {
			t.Errorf("the request itself: %v", err)
		}
	}, func(h *sdktest.Host) { h.OnQuery("SELECT 2") })
}

// Whatever a handler does, there is an answer; what it did not classify stays in
// its log.
func TestHandlerFails(t *testing.T) {
	t.Parallel()
	secret := errors.New("secret")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		fn   func(*sdk.Context) (response, error)
		want sdk.Code
		log  string
	}{
		"code": {t.Context(), func(*sdk.Context) (response, error) { return response{}, sdk.ErrConflict.Errorf("no") }, sdk.ErrConflict, ""},
		"wrapped code": {t.Context(), func(*sdk.Context) (response, error) {
			return response{}, errors.Join(secret, sdk.ErrConflict.Errorf("no"))
		}, sdk.ErrConflict, ""},
		"unclassified":   {t.Context(), func(*sdk.Context) (response, error) { return response{}, secret }, sdk.ErrInternal, "secret"},
		"panic":          {t.Context(), func(*sdk.Context) (response, error) { panic("secret") }, sdk.ErrInternal, "context_test.go"},
		"runtime panic":  {t.Context(), func(c *sdk.Context) (response, error) { return response{strings.Fields(c.Accept())[0]}, nil }, sdk.ErrInternal, "index out of range"},
		"cancelled":      {cancelled, func(c *sdk.Context) (response, error) { return response{}, c.Err() }, sdk.ErrCancelled, ""},
		"code, too late": {cancelled, func(*sdk.Context) (response, error) { return response{}, sdk.ErrConflict.Errorf("no") }, sdk.ErrConflict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			p := doing(tt.fn)
			p.SetLogger(hclog.New(&hclog.LoggerOptions{Output: &log}))
			resp := p.Invoke(tt.ctx, nil, &pluginv1.InvokeRequest{Command: probe.Name, Payload: []byte("{}"), RequestId: "r-1"})
			err := sdk.ErrorFromProto(resp.GetError())
			if !errors.Is(err, tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("the answer is %v, want %s", err, tt.want.Slug)
			}
			if tt.log == "" && log.Len() > 0 || !strings.Contains(log.String(), tt.log) {
				t.Errorf("the log has %q, want %q", log.String(), tt.log)
			}
			if tt.log != "" && !strings.Contains(log.String(), "r-1") {
				t.Errorf("the log does not name the request: %q", log.String())
			}
		})
	}
}

func TestInvokeRefuses(t *testing.T) {
	t.Parallel()
	p := doing(func(*sdk.Context) (response, error) { t.Error("the handler ran"); return response{}, nil })
	for _, tt := range []struct {
		command, payload string
		want             sdk.Code
	}{
		{"probe.None", "{}", sdk.ErrUnsupported}, {"", "{}", sdk.ErrUnsupported},
		{"probe.Run", "", sdk.ErrMalformed}, {"probe.Run", "[]", sdk.ErrMalformed}, {"probe.Run", `{"more":1}`, sdk.ErrMalformed},
	} {
		resp := p.Invoke(t.Context(), nil, &pluginv1.InvokeRequest{Command: tt.command, Payload: []byte(tt.payload)})
		if err := sdk.ErrorFromProto(resp.GetError()); !errors.Is(err, tt.want) {
			t.Errorf("%s %s: %v, want %s", tt.command, tt.payload, err, tt.want.Slug)
		}
	}
}
