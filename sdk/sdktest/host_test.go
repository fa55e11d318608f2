package sdktest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// recorder is a test whose faults are expected.
type recorder struct {
	testing.TB
	faults   []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

// Fatalf ends the goroutine, as in a real test.
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// failing runs fn as a test and returns what it reported.
func failing(t *testing.T, fn func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(r) {
				panic(v)
			}
		}()
		fn(r)
	}()
	for _, f := range r.cleanups {
		f()
	}
	return strings.Join(r.faults, "\n")
}

type input struct {
	ID    string   `json:"id"`
	Names []string `json:"names,omitempty"`
}

type output struct {
	ID string `json:"id"`
}

var probe = sdk.Command[input, output]{Name: "probe.Run", Summary: "Do what the test wants."}

// plugin has one command, a read, that does what fn says.
func plugin(fn func(*sdk.Context, input) (output, error), options ...sdk.Option) *sdk.Plugin {
	p := sdk.New("probe", "1.0.0")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, sdk.ReadFiles, sdk.WriteFiles)
	sdk.Handle(p, probe, fn, append(options, sdk.Permission("probe:read"))...)
	return p
}

func query(c *sdk.Context) error {
	_, err := sdk.Query[output](c, sql.New("SELECT 1"))
	return err
}

func TestHostFindsFaults(t *testing.T) {
	t.Parallel()
	asks := plugin(func(c *sdk.Context, _ input) (output, error) { return output{}, query(c) })
	quiet := plugin(func(*sdk.Context, input) (output, error) { return output{}, nil })
	for name, tt := range map[string]struct {
		run  func(t testing.TB)
		want string // occurs in what the test reports
	}{
		"unexpected callback": {func(t testing.TB) { sdktest.Invoke(sdktest.New(t, asks), probe, input{}) },
			"makes a callback that the test has no answer for: Query SELECT 1"},
		"answer to another statement": {func(t testing.TB) {
			h := sdktest.New(t, asks)
			h.OnQuery("SELECT 2")
			sdktest.Invoke(h, probe, input{})
		}, `no callback came for the answer to Query "SELECT 2"`},
		"left-over answer": {func(t testing.TB) {
			h := sdktest.New(t, quiet)
			h.OnDeleteFile("7")
			sdktest.Invoke(h, probe, input{})
		}, `no callback came for the answer to DeleteFile "7"`},
		"read that writes": {func(t testing.TB) {
			h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) { return output{}, c.Files().Delete("7") }))
			h.OnDeleteFile("7")
			sdktest.Invoke(h, probe, input{})
		}, "is not declared with sdk.Writes"},
		"read that leases": {func(t testing.TB) {
			h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) { return output{}, c.Lease() }))
			h.OnLease()
			sdktest.Invoke(h, probe, input{})
		}, "makes the callback Lease and is not declared with sdk.Writes"},
		"unknown command":  {func(t testing.TB) { sdktest.New(t, quiet).InvokeJSON("probe.None", "{}") }, "has no command probe.None"},
		"unknown callback": {func(t testing.TB) { sdktest.New(t, quiet).Fail("Querry", "", sdk.ErrInternal.Errorf("")) }, "no callback Querry"},
		"answer that is no JSON": {func(t testing.TB) {
			x := sdktest.Invoke(sdktest.New(t, plugin(func(*sdk.Context, input) (output, error) { return output{}, sdk.ErrInvalid.Errorf("no") })), probe, input{})
			sdktest.Answer[output](t, x)
		}, "has no JSON answer"},
		"answer that breaks its schema": {func(t testing.TB) {
			p := sdk.New("probe", "1.0.0")
			sdk.Handle(p, sdk.Command[input, sdk.PageLimit]{Name: "probe.Limit"}, func(*sdk.Context, input) (sdk.PageLimit, error) { return 0, nil })
			sdktest.New(t, p).InvokeJSON("probe.Limit", `{"id":""}`)
		}, "breaks its schema: /: minimum: got 0, want 1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failing(t, tt.run); !strings.Contains(got, tt.want) {
				t.Errorf("the test reports %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGoldenDiffers(t *testing.T) {
	t.Parallel()
	if flag.Lookup("update").Value.String() == "true" {
		t.Skip("would write the golden files that must differ")
	}
	x := sdktest.New(t, plugin(nil)).InvokeJSON("probe.Run", "{}")
	if got := failing(t, func(t testing.TB) { sdktest.Golden(t, "keep", x) }); !strings.Contains(got, "testdata/keep.golden (-want +got") {
		t.Errorf("another text is reported as %q", got)
	}
	if got := failing(t, func(t testing.TB) { sdktest.Golden(t, "none", x) }); !strings.Contains(got, "go test -update writes it") {
		t.Errorf("no file is reported as %q", got)
	}
}

// The host checks the input before the handler, and says all that is wrong.
func TestInputIsChecked(t *testing.T) {
	t.Parallel()
	called := false
	h := sdktest.New(t, plugin(func(*sdk.Context, input) (output, error) { called = true; return output{}, nil }))
	for _, tt := range []struct{ input, want string }{
		{`{}`, "/: missing property 'id'"},
		{`{"id":1,"names":[2],"more":3}`, "/: additional properties 'more' not allowed; /id: got number, want string; /names/0: got number, want string"},
		{`[]`, "/: got array, want object"},
		{`{`, "unexpected EOF"},
	} {
		x := h.InvokeJSON("probe.Run", tt.input)
		if err := x.Err(); !errors.Is(err, sdk.ErrMalformed) || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.input, err, tt.want)
		}
	}
	if called {
		t.Error("the handler saw an input that breaks the schema")
	}
	if x := h.InvokeJSON("probe.Run", `{"id":"x"}`); x.Err() != nil || !called {
		t.Errorf("a good input: %v, called %v", x.Err(), called)
	}
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin(func(c *sdk.Context, in input) (output, error) {
		if c.Project() != "p" || c.Branch() != "b" || c.Subject() != "s" || c.Accept() != "text/csv" {
			t.Errorf("the request is for %s %s %s %s", c.Project(), c.Branch(), c.Subject(), c.Accept())
		}
		created, err := c.Files().Create(sdk.FileSpec{Name: "a.csv"})
		if err != nil {
			return output{}, err
		}
		if err := c.Lease(); err != nil {
			return output{}, err
		}
		if err := c.Lease(); !errors.Is(err, sdk.ErrConflict) {
			t.Errorf("a second lease: %v", err)
		}
		registered, err := c.Files().Register(created.ID)
		if err != nil {
			return output{}, err
		}
		called, err := sdk.Call(c, probe, input{ID: registered.ID})
		if err != nil {
			return output{}, err
		}
		written, err := c.Write(sdk.Unit{Do: []sql.Statement{sql.New("DELETE FROM t")}})
		if diff := cmp.Diff(sdk.WriteResult{RowsAffected: []int64{3}, Answer: []byte(`{"id":"row"}`)}, written); err != nil || diff != "" {
			t.Errorf("Write: %v (-want +got):\n%s", err, diff)
		}
		return called, c.Files().Delete(in.ID)
	}, sdk.Writes()))
	h.Project, h.Branch, h.Subject, h.Accept = "p", "b", "s", "text/csv"
	h.OnDeleteFile("1")
	h.OnWrite("DELETE FROM t", output{"row"}, 3)
	h.OnLease()
	h.OnCall("probe.Run", output{"from the call"})
	h.OnRegisterFile("7", sdk.FileInfo{ID: "7", State: sdk.FileRegistered})
	h.OnCreateFile("a.csv", sdk.FileInfo{ID: "7", State: sdk.FilePrepared})
	x := sdktest.Invoke(h, probe, input{ID: "1"})
	if got := sdktest.Answer[output](t, x); got.ID != "from the call" {
		t.Errorf("the answer is %+v", got)
	}
	sdktest.Golden(t, "callbacks", x)
}

// A handler that keeps its Context finds it refused: its request is over.
func TestCallbackAfterTheHandler(t *testing.T) {
	t.Parallel()
	var kept *sdk.Context
	h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) { kept = c; return output{}, nil }))
	sdktest.Invoke(h, probe, input{})
	if err := query(kept); !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("the next callback is %v, want denied", err)
	}
	if kept.Err() == nil {
		t.Error("the context goes on after the handler")
	}
	first := kept
	h = sdktest.New(t, plugin(func(*sdk.Context, input) (output, error) {
		if err := query(first); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("a callback during another call is %v, want denied", err)
		}
		return output{}, nil
	}))
	sdktest.Invoke(h, probe, input{})
}

func TestCancelledRequest(t *testing.T) {
	t.Parallel()
	var in error
	h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) { in = query(c); return output{}, in }))
	ctx, cancel := context.WithCancel(t.Context())
	h.Context = ctx
	cancel()
	x := sdktest.Invoke(h, probe, input{})
	if !errors.Is(in, sdk.ErrCancelled) || !errors.Is(x.Err(), sdk.ErrCancelled) {
		t.Errorf("in the handler %v, outside %v, want cancelled", in, x.Err())
	}
}

func TestTooManyRows(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) { return output{}, query(c) }))
	h.OnQuery("", make([]any, sdk.MaxQueryRows+1)...)
	h.OnQuery("", output{strings.Repeat("x", 1<<20)})
	for range 2 {
		if err := sdktest.Invoke(h, probe, input{}).Err(); !errors.Is(err, sdk.ErrTooLarge) {
			t.Errorf("the error is %v", err)
		}
	}
}

// A handler may ask for several things at once.
func TestParallelCallbacks(t *testing.T) {
	t.Parallel()
	const n = 20
	h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if err := query(c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		return output{}, nil
	}))
	for range n {
		h.OnQuery("SELECT 1")
	}
	if x := sdktest.Invoke(h, probe, input{}); len(x.Callbacks) != n {
		t.Errorf("%d callbacks of %d are recorded", len(x.Callbacks), n)
	}
}
