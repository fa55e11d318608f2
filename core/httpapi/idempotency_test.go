package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// The routes of a door.
const (
	doPath    = "/do"               // answers JSON, 201
	unitPath  = "/projects/1/unit"  // makes a table by a Unit, 200
	partsPath = "/projects/1/parts" // makes a table by a callback and goes on, 200
)

// door is a server whose requests come without a network, with commands that count
// how often they are asked.
type door struct {
	*Server
	t     *testing.T
	key   string // of the admin
	now   atomic.Int64
	calls atomic.Int64
	fails atomic.Bool   // the handlers answer 503 at the end
	block chan struct{} // unless nil, x.Do waits until it is closed
	began chan struct{} // gets each x.Do that waits
}

type doorInput struct {
	Name string `json:"name"`
}

type doorOutput struct {
	Number int64 `json:"number"`
}

func newDoor(t *testing.T) *door {
	t.Helper()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	d := &door{t: t, began: make(chan struct{}, 1)}
	d.now.Store(time.Date(2026, 12, 31, 8, 0, 0, 0, time.UTC).Unix())
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, sdk.Command[doorInput, doorOutput]{Name: "x.Do"}, d.do, sdk.POST(doPath, sdk.Status(201)), sdk.Permission(sdk.AdminOnly), sdk.Writes())
	sdk.Handle(p, sdk.Command[doorInput, doorOutput]{Name: "x.Unit"}, d.unit, sdk.POST(sdk.Catalog+"/unit"), sdk.Permission("x:write"), sdk.Writes())
	sdk.Handle(p, sdk.Command[doorInput, doorOutput]{Name: "x.Parts"}, d.parts, sdk.POST(sdk.Catalog+"/parts"), sdk.Permission("x:write"), sdk.Writes())
	host, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	d.Server, err = New(Config{
		Host: host, Registry: f.Registry, Audit: newAudit(t, f.Registry), Files: f.Files, Executor: f.Executor, Metrics: metrics.New(), Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.keys.now = func() time.Time { return time.Unix(d.now.Load(), 0) }
	d.newKey()
	return d
}

// newKey replaces the admin key.
func (d *door) newKey() {
	d.t.Helper()
	d.key = auth.NewAdminKey()
	if err := d.cfg.Registry.SetAdminKey(d.t.Context(), auth.Hash(d.key)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *door) do(*sdk.Context, doorInput) (doorOutput, error) {
	n := d.calls.Add(1)
	if d.block != nil {
		d.began <- struct{}{}
		<-d.block
	}
	if d.fails.Load() {
		return doorOutput{}, sdk.ErrUnavailable.Errorf("not now")
	}
	return doorOutput{n}, nil
}

func (d *door) unit(_ *sdk.Context, in doorInput) (sdk.Unit, error) {
	return sdk.Unit{
		Do:     []sql.Statement{sql.New("CREATE TABLE ? (a INTEGER)", sql.Name(in.Name))},
		Answer: sql.New("SELECT ?::BIGINT AS number", d.calls.Add(1)),
	}, nil
}

func (d *door) parts(c *sdk.Context, in doorInput) (doorOutput, error) {
	_, err := c.Write(sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE IF NOT EXISTS ? (a INTEGER)", sql.Name(in.Name))}})
	if err != nil {
		return doorOutput{}, err
	}
	return d.do(c, in)
}

// send sends a request under the key "k".
func (d *door) send(path, name string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(fmt.Sprintf(`{"name":%q}`, name)))
	r.Header.Set("Authorization", "Bearer "+d.key)
	r.Header.Set(keyHeader, "k")
	to := httptest.NewRecorder()
	d.http.Handler.ServeHTTP(to, r)
	return to
}

// want sends a request and checks whether it is done, as call number calls, or
// answered as that call was.
func (d *door) want(path, name string, calls int64, replayed bool) {
	d.t.Helper()
	to := d.send(path, name)
	var out doorOutput
	err := json.Unmarshal(to.Body.Bytes(), &out)
	if err != nil || to.Code >= 300 || (to.Code == http.StatusCreated) != (path == doPath) || out.Number != calls ||
		(to.Header().Get("Idempotency-Replayed") == "true") != replayed || to.Header().Get("Content-Type") != "application/json" {
		d.t.Errorf("%s: %d %v %s; want the answer of call %d, replayed %v", path, to.Code, to.Header(), to.Body, calls, replayed)
	}
	if d.calls.Load() != calls {
		d.t.Errorf("%s: the handler was asked %d times, want %d", path, d.calls.Load(), calls)
	}
}

// refuses sends a request and checks the problem that it gets.
func (d *door) refuses(path, name string, status int, slug string, retryable bool) *httptest.ResponseRecorder {
	d.t.Helper()
	to := d.send(path, name)
	var p problem
	if err := json.Unmarshal(to.Body.Bytes(), &p); err != nil || to.Code != status || p.Type != problemPath+slug || p.Retryable != retryable {
		d.t.Errorf("%s: %d %s; want %d %s, retryable %v", path, to.Code, to.Body, status, slug, retryable)
	}
	return to
}

// loseAnswers is what a kill before an answer is kept leaves: only marks.
func (d *door) loseAnswers() {
	d.t.Helper()
	if _, err := d.cfg.Registry.ForgetAnswers(d.t.Context(), d.keys.now().Add(time.Hour)); err != nil {
		d.t.Fatal(err)
	}
}

func TestAnswersAreKeptForADay(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.want(doPath, "a", 1, false)
	d.now.Add(int64(plan.MarkKept / time.Second))
	d.keys.forgetOld(t.Context())
	d.want(doPath, "a", 1, true)
	d.refuses(doPath, "b", http.StatusUnprocessableEntity, "idempotency-key-reused", false)
	d.now.Add(1)
	d.want(doPath, "b", 2, false) // although the old one is still there
	d.want(doPath, "b", 2, true)
	d.now.Add(1 + int64(plan.MarkKept/time.Second))
	if n, err := d.cfg.Registry.ForgetAnswers(t.Context(), d.keys.now().Add(-plan.MarkKept)); n != 1 || err != nil {
		t.Errorf("%d answers were kept, %v; the new one should have taken the place of the old one", n, err)
	}
}

// The answer of a Unit that was committed is made again; that of a handler which
// writes by itself is lost, and the write is not done again.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.want(unitPath, "a", 1, false)
	d.loseAnswers()
	d.refuses(unitPath, "b", http.StatusUnprocessableEntity, "idempotency-key-reused", false)
	d.want(unitPath, "a", 1, true)
	d.want(unitPath, "a", 1, true) // it is kept now
	d.loseAnswers()
	d.now.Add(1 + int64(plan.MarkKept/time.Second))
	d.want(unitPath, "b", 2, false)

	parts := newDoor(t)
	parts.want(partsPath, "a", 1, false)
	parts.want(partsPath, "a", 1, true)
	parts.loseAnswers()
	for range 2 {
		parts.refuses(partsPath, "a", http.StatusConflict, "idempotency-answer-lost", false)
	}
	if parts.calls.Load() != 1 {
		t.Errorf("the handler was asked %d times", parts.calls.Load())
	}
}

// A request that fails after a part was committed tells the client to repeat it, and
// then it may.
func TestAFailedPartMayBeRepeated(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.fails.Store(true)
	for range 2 {
		d.refuses(partsPath, "a", http.StatusServiceUnavailable, "unavailable", true)
	}
	d.fails.Store(false)
	d.want(partsPath, "a", 3, false)
	d.want(partsPath, "a", 3, true)
}

// A client that has left was told nothing: what it wrote is not written again.
func TestAClientThatLeftMayNotWriteTwice(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.block = make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		r := httptest.NewRequest(http.MethodPost, partsPath, strings.NewReader(`{"name":"a"}`)).WithContext(ctx)
		r.Header.Set("Authorization", "Bearer "+d.key)
		r.Header.Set(keyHeader, "k")
		d.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-d.began
	d.fails.Store(true)
	leave()
	close(d.block)
	<-left
	d.refuses(partsPath, "a", http.StatusConflict, "idempotency-answer-lost", false)
}

func TestARepeatWaitsNoLongerThanItsPatience(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.block = make(chan struct{})
	d.keys.patience = time.Millisecond
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- d.send(doPath, "a") }()
	<-d.began
	if to := d.refuses(doPath, "a", http.StatusConflict, "idempotency-in-progress", true); to.Header().Get("Retry-After") != "1" {
		t.Errorf("no Retry-After: %v", to.Header())
	}
	d.refuses(doPath, "b", http.StatusUnprocessableEntity, "idempotency-key-reused", false)
	close(d.block)
	if to := <-first; to.Code != http.StatusCreated {
		t.Errorf("the first: %d %s", to.Code, to.Body)
	}
	d.want(doPath, "a", 1, true)
	if len(d.keys.running) != 0 {
		t.Errorf("%d requests are held in memory", len(d.keys.running))
	}
}

// An answer may hold a secret: only the API key that it was given to opens it.
func TestAnswersBelongToTheirKey(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.want(doPath, "a", 1, false)
	d.newKey()
	d.refuses(doPath, "a", http.StatusConflict, "idempotency-answer-lost", false)

	d = newDoor(t)
	d.want(unitPath, "a", 1, false)
	d.loseAnswers()
	d.newKey()
	d.refuses(unitPath, "a", http.StatusConflict, "idempotency-answer-lost", false)
}

// The removal of old answers begins with open and ends with close, whichever comes
// first.
func TestSweep(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	d.want(doPath, "a", 1, false)
	d.now.Add(1 + int64(plan.MarkKept/time.Second))
	d.keys.open()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		_, found, err := d.cfg.Registry.FirstAnswer(t.Context(), keyOf(pluginhost.Call{Principal: auth.Principal{Subject: "admin"}}, "k"), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("the old answer is still there")
		}
	}
	d.keys.close()
	d.keys.close()
	d.keys.open()
}
