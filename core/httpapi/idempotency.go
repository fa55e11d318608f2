package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// The problems of an Idempotency-Key.
var (
	errInProgress = sdk.Code{Slug: "idempotency-in-progress", Title: "The first request still runs", Kind: sdk.Conflict, Driver: 3000}
	errKeyReused  = sdk.Code{Slug: "idempotency-key-reused", Title: "Idempotency key of another request", Kind: sdk.Invalid, Driver: 3000}
	errAnswerLost = sdk.Code{Slug: "idempotency-answer-lost", Title: "Committed, and the answer is lost", Kind: sdk.Conflict, Driver: 3000}
)

const (
	// patienceForFirst is how long a repeat waits for the first request. Most clients
	// and proxies give up after a minute.
	patienceForFirst = time.Minute
	// forgetAnswers is how often answers are removed that are too old.
	forgetAnswers = time.Hour
	// forgetMark bounds the wait for the turn in which a mark is removed. The key is
	// not free meanwhile.
	forgetMark = 10 * time.Second
)

// keyring makes a write that is sent with an Idempotency-Key happen once. Start with
// [keyring.once].
//
// What became of a key is looked up where it is known first: among the requests that
// run, in the registry with the answers that were given, and in the catalog, where
// each write leaves a mark in its own transaction ([plan.Mark]). So neither a kill
// between a commit and its answer nor a client that left has a write run twice. An
// answer is kept for 24 hours, sealed with the API key of its client.
//
// Not kept are answers that a repeat may change: 429 and all from 500 on, and
// retryable problems, also when a job ends so; the key is free again. Nor are streams and answers over 1 MiB.
// Files and projects are not in a catalog: what writes only those leaves no mark.
type keyring struct {
	registry *registry.Registry
	executor *plan.Executor
	log      hclog.Logger
	now      func() time.Time
	patience time.Duration

	mu      sync.Mutex
	running map[string]*attempt // by key

	sweeping sync.WaitGroup
	until    context.Context // of the sweep
	stop     context.CancelFunc
}

// attempt is a request that runs under a key.
type attempt struct {
	fingerprint string
	over        chan struct{} // closed at the end
	answer      *kept         // then; nil if the key is free again
}

func newKeyring(r *registry.Registry, x *plan.Executor, log hclog.Logger) *keyring {
	k := &keyring{registry: r, executor: x, log: log, now: time.Now, patience: patienceForFirst, running: map[string]*attempt{}}
	k.until, k.stop = context.WithCancel(context.Background())
	return k
}

// open begins to remove old answers, now and every hour, until close.
func (k *keyring) open() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.until.Err() == nil { // not closed before it was opened
		k.sweeping.Go(k.sweep)
	}
}

// close ends what open began. It may be called twice.
func (k *keyring) close() {
	k.mu.Lock()
	k.stop()
	k.mu.Unlock()
	k.sweeping.Wait()
}

func (k *keyring) sweep() {
	tick := time.NewTicker(forgetAnswers)
	defer tick.Stop()
	for {
		k.forgetOld(k.until)
		select {
		case <-tick.C:
		case <-k.until.Done():
			return
		}
	}
}

// forgetOld removes the answers that no repeat may have any more.
func (k *keyring) forgetOld(ctx context.Context) {
	n, err := k.registry.ForgetAnswers(ctx, k.now().Add(-plan.MarkKept))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		k.log.Warn("old answers to idempotency keys could not be removed", "error", err)
	case n > 0:
		k.log.Debug("removed old answers to idempotency keys", "count", n)
	}
}

// begin makes a request the one that runs under its key, or returns the one that
// does. A request for something else is refused.
func (k *keyring) begin(key, fingerprint string) (a *attempt, mine bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if a, ok := k.running[key]; ok {
		if a.fingerprint != fingerprint {
			return nil, false, reused()
		}
		return a, false, nil
	}
	a = &attempt{fingerprint: fingerprint, over: make(chan struct{})}
	k.running[key] = a
	return a, true, nil
}

// end wakes those who wait for an attempt.
func (k *keyring) end(key string, a *attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.running, key)
	close(a.over)
}

func reused() error {
	return errKeyReused.Errorf("this %s belongs to another request of the last 24 hours; a new request needs a key of its own", keyHeader)
}

func lost() error {
	return errAnswerLost.Errorf("the first request with this %s has committed what it wrote, all or a part of it, and its answer is lost; read the state before you go on, with another key", keyHeader)
}

// keyed is a request under a key.
type keyed struct {
	*keyring
	server      *Server
	key         string
	fingerprint string
	route       route
	call        pluginhost.Call
	vault       auth.Vault
}

// once performs a request, or answers it as it was answered before.
func (s *Server) once(w http.ResponseWriter, r *http.Request, route route, call pluginhost.Call, perform performer) {
	if !isWrite(route.command) {
		perform(w, call)
		return
	}
	header, err := idempotencyKey(r.Header)
	switch {
	case err != nil:
	case header == "":
		perform(w, call)
	default:
		err = s.keyed(w, r, route, call, header, perform)
	}
	if errors.Is(err, errInProgress) {
		w.Header().Set("Retry-After", "1")
	}
	if err != nil {
		s.fail(w, r, err)
	}
}

// keyed performs a request under its key. An error is for the client.
func (s *Server) keyed(w http.ResponseWriter, r *http.Request, route route, call pluginhost.Call, header string, perform performer) (err error) {
	k := keyed{keyring: s.keys, server: s, key: keyOf(call, header), route: route, call: call}
	if k.fingerprint, err = fingerprint(r, route.command.GetForm(), call); err != nil {
		return err
	}
	if k.vault, err = auth.VaultOf(r.Header.Get("Authorization")); err != nil {
		return err
	}
	return k.serve(w, r, perform)
}

// performer does what a request asks for and answers it.
type performer func(w http.ResponseWriter, call pluginhost.Call)

// serve performs the request, or waits for the one that does.
func (k keyed) serve(w http.ResponseWriter, r *http.Request, perform performer) error {
	patience := time.NewTimer(k.patience)
	defer patience.Stop()
	for {
		a, mine, err := k.begin(k.key, k.fingerprint)
		if err != nil {
			return err
		}
		if mine {
			return k.first(w, r, a, perform)
		}
		select {
		case <-a.over:
		case <-patience.C:
			return errInProgress.Errorf("the first request with this %s still runs after %s of waiting; repeat later", keyHeader, k.patience).Retry()
		case <-k.server.stopping:
			return errInProgress.Errorf("the service stops, and the first request with this %s still runs; repeat later", keyHeader).Retry()
		case <-r.Context().Done():
			return sdk.ErrCancelled.Errorf("the client left while it waited for the first request with its %s", keyHeader)
		}
		if a.answer != nil {
			k.replay(w, r, a.answer)
			return nil
		}
	}
}

// first performs a request under its key, unless an earlier one was.
func (k keyed) first(w http.ResponseWriter, r *http.Request, a *attempt, perform performer) (err error) {
	defer k.end(k.key, a)
	if a.answer, err = k.recall(r); err != nil {
		return err
	}
	if a.answer != nil {
		k.replay(w, r, a.answer)
		return nil
	}
	call := k.call
	call.Mark = &plan.Mark{
		Key: k.key, Fingerprint: k.fingerprint, RequestID: call.RequestID, Time: k.now(),
		Seal: func(plain []byte) []byte { return k.vault.Seal(plain, k.key) },
	}
	h := &held{ResponseWriter: w}
	perform(h, call)
	problem := observedOf(r.Context()).problem
	if answer := h.answer(); answer != nil && lasts(answer.Status, problem) {
		k.keep(r, answer)
		a.answer = answer
	}
	_ = h.pass() // a client that has left finds its answer with a repeat
	if a.answer == nil && problem != nil && problem.Retryable && call.Mark.Left() && r.Context().Err() == nil {
		k.forget(r, call.Mark)
	}
	return nil
}

// lasts reports whether an answer is what a repeat would be answered as well.
func lasts(status int, problem *sdk.Error) bool {
	if status >= http.StatusBadRequest {
		return status < http.StatusInternalServerError && status != http.StatusTooManyRequests && (problem == nil || !problem.Retryable)
	}
	return true
}

// replay answers a repeat. A client that sends a file has to send all of it, or it
// may not see the answer; that it broke off is seen when it is answered.
func (k keyed) replay(w http.ResponseWriter, r *http.Request, answer *kept) {
	if k.route.command.GetForm() == pluginv1.Form_FORM_UPLOAD {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	observedOf(r.Context()).replayed(answer)
	answer.send(w)
}

// keep makes an answer durable. If that fails, what was written has left its mark.
func (k keyed) keep(r *http.Request, answer *kept) {
	err := k.registry.KeepAnswer(context.WithoutCancel(r.Context()), registry.FirstAnswer{
		Key: k.key, Fingerprint: k.fingerprint, Created: k.now(), Sealed: k.vault.Seal(answer.marshal(), k.key),
	})
	if err != nil {
		loggerOf(r.Context(), k.log).Error("the answer could not be kept for a repeat", "error", err)
	}
}

// forget makes the key free again: a part of the request was committed before it
// failed, and the client was told to repeat it.
func (k keyed) forget(r *http.Request, m *plan.Mark) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), forgetMark)
	defer cancel()
	if err := k.executor.ForgetMark(ctx, k.call.Target, m); err != nil {
		loggerOf(r.Context(), k.log).Warn("a repeat of this request will be refused: its mark could not be removed", "error", err)
	}
}

// recall finds the answer to the first request with the key; nil if there was none,
// or nothing became of it.
func (k keyed) recall(r *http.Request) (*kept, error) {
	now := k.now()
	stored, ok, err := k.registry.FirstAnswer(r.Context(), k.key, now.Add(-plan.MarkKept))
	if err != nil {
		return nil, err
	}
	if ok {
		answer, err := k.read(stored)
		if err != nil || !k.undone(r, answer) {
			return answer, err
		}
	}
	mark, ok, err := k.executor.FindMark(r.Context(), k.call.Target, k.key, now)
	switch {
	case errors.Is(err, engine.ErrBroken), errors.Is(err, sdk.ErrProjectNotFound):
		return nil, nil // what is not there can be dropped, and not written to
	case err != nil || !ok:
		return nil, err
	}
	return k.again(r, mark)
}

// undone reports whether an answer is a job that has failed and may be repeated: one
// that a restart interrupted, above all. What it committed, its mark says.
func (k keyed) undone(r *http.Request, answer *kept) bool {
	id, isJob := strings.CutPrefix(answer.Header["Location"], jobPath)
	if answer.Status != http.StatusAccepted || !isJob {
		return false
	}
	job, _, err := k.server.cfg.Jobs.Find(r.Context(), k.call.Principal, id)
	var failed problem
	return err == nil && job.State == registry.JobError && json.Unmarshal(job.Error, &failed) == nil && failed.Retryable
}

// read opens an answer that was kept.
func (k keyed) read(stored registry.FirstAnswer) (*kept, error) {
	if stored.Fingerprint != k.fingerprint {
		return nil, reused()
	}
	plain, err := k.vault.Open(stored.Sealed, k.key)
	if err != nil {
		return nil, lost() // of another API key of the same client, which is no longer valid
	}
	answer := &kept{}
	return answer, json.Unmarshal(plain, answer)
}

// again makes the answer of a write that was committed, although nobody kept it.
func (k keyed) again(r *http.Request, mark plan.Marked) (*kept, error) {
	if mark.Fingerprint != k.fingerprint {
		return nil, reused()
	}
	if mark.Answer == nil {
		return nil, lost()
	}
	statement, err := k.vault.Open(mark.Answer, k.key)
	if err != nil {
		return nil, lost()
	}
	out, err := k.executor.AnswerAgain(r.Context(), k.call.Target, statement)
	var e *sdk.Error
	switch {
	case errors.As(err, &e) && e.Retryable:
		return nil, err
	case err != nil:
		loggerOf(r.Context(), k.log).Info("the answer of a committed write cannot be made again", "first_request_id", mark.RequestID, "error", err)
		return nil, lost()
	}
	h := &held{ResponseWriter: discard{http.Header{}}}
	k.server.answer(h, r, k.route, k.call, plan.Answer{JSON: out})
	answer := h.answer()
	k.keep(r, answer)
	return answer, nil
}

// discard is where an answer goes that is only to be kept.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
