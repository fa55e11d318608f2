package plan

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	// idleTransaction is how long a transaction may wait for its next request. A handler
	// sends that within milliseconds; a minute is for one that looks something up
	// elsewhere, and every write of the catalog waits meanwhile.
	idleTransaction = time.Minute
	// longestTransaction is as long as a writer waits in the queue by default: a longer
	// one would have all that came after it refused.
	longestTransaction = 10 * time.Minute
)

// ErrTransactionTime is a transaction that was rolled back because it took too long.
var ErrTransactionTime = sdk.Code{Slug: "transaction-timeout", Title: "The transaction took too long", Kind: sdk.Timeout, Driver: 1000}

// errLongest tells the end of a transaction's time from the end of the request.
var errLongest = errors.New("the transaction took too long")

// Transaction is a transaction that is open between requests, with the catalog's
// turn. It serves one caller: its methods must not run at the same time.
type Transaction struct {
	executor *Executor
	target   *pluginv1.Target
	changes  Changes
	session  *engine.Session
	ctx      context.Context // ends with the request, or when Longest is over
	longest  time.Duration
	idle     time.Duration
	held     []func()
}

// Transact waits for the catalog's turn and begins a transaction, which sees what
// was committed before. In a context of a lease it joins that. The transaction ends
// with Commit, or with Close, which rolls back what was not committed and gives the
// turn back.
func (x *Executor) Transact(ctx context.Context, target *pluginv1.Target) (_ *Transaction, err error) {
	t := &Transaction{executor: x, target: target, idle: cmp.Or(x.Idle, idleTransaction), longest: cmp.Or(x.Longest, longestTransaction)}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	turn, err := x.Queue.Acquire(ctx, disk.CatalogName(target.GetProject(), target.GetBranch()))
	if err != nil {
		return nil, err
	}
	t.held = append(t.held, turn)
	bounded, cancel := context.WithTimeoutCause(ctx, t.longest, errLongest)
	t.ctx = bounded
	t.held = append(t.held, cancel)
	if t.session, err = x.Session(bounded, target); err != nil {
		return nil, err
	}
	t.held = append(t.held, t.session.Close)
	return t, t.session.Begin()
}

// Done is closed when the transaction can do nothing more, because its request has
// ended or it took too long.
func (t *Transaction) Done() <-chan struct{} { return t.ctx.Done() }

// Idle is how long the transaction may wait for its next request.
func (t *Transaction) Idle() time.Duration { return t.idle }

// Exec runs a statement and returns how many rows it changed.
func (t *Transaction) Exec(st *pluginv1.Statement) (int64, error) {
	if err := t.session.Control(st.GetSql()); err != nil {
		return 0, t.explain(err)
	}
	if err := t.executor.guarded(t.target, &t.changes, st.GetSql()); err != nil {
		return 0, err
	}
	n, err := t.session.Exec(bind(st, nil))
	return n, t.executor.explain(t.target, st.GetSql(), t.explain(err))
}

// Do runs statements of the host itself, which may define what belongs to it.
func (t *Transaction) Do(statements ...sql.Statement) error {
	for _, st := range statements {
		if _, err := t.session.Exec(st); err != nil {
			return t.explain(err)
		}
	}
	return nil
}

// HasRows reports whether a query of the host returns at least one row.
func (t *Transaction) HasRows(st sql.Statement) (bool, error) {
	found, err := t.session.HasRows(st)
	return found, t.explain(err)
}

// Query runs a read of at most 1000 rows and 1 MiB, and returns a JSON array of
// objects.
func (t *Transaction) Query(st *pluginv1.Statement) ([]byte, error) {
	if err := t.session.Control(st.GetSql()); err != nil {
		return nil, t.explain(err)
	}
	if err := readable(t.ctx, t.session, bind(st, nil)); err != nil {
		return nil, t.explain(err)
	}
	rows, err := t.session.Objects(bind(st, nil), maxInlineRows, maxInlineBytes)
	if err != nil {
		return nil, t.explain(err)
	}
	return json.Marshal(rows)
}

// Commit makes the transaction durable, together with what the host has to add.
func (t *Transaction) Commit(with ...Along) error {
	err := t.changes.unshare(t.session)
	if err == nil {
		err = along(t.session, with)
	}
	if err == nil {
		err = leaveMark(t.ctx, t.session, nil, nil)
	}
	if err == nil {
		err = t.session.Commit()
	}
	if err != nil {
		return t.explain(err)
	}
	t.executor.changed(t.target, t.changes)
	t.session.Relieve()
	return nil
}

// Close ends the transaction. It may be called twice.
func (t *Transaction) Close() {
	for i := len(t.held) - 1; i >= 0; i-- {
		t.held[i]()
	}
	t.held = nil
}

// WasIdle is why a transaction is rolled back that waited too long for its next
// request.
func (t *Transaction) WasIdle() error {
	return ErrTransactionTime.Errorf("the transaction was rolled back because it was idle for %v; every write of the project waits for it, so do elsewhere what takes time", t.idle)
}

// Ended is why the transaction is done.
func (t *Transaction) Ended() error {
	if errors.Is(context.Cause(t.ctx), errLongest) {
		return ErrTransactionTime.Errorf("the transaction was rolled back because it was not committed within %v; every write of the project waits for it", t.longest)
	}
	return sdk.ErrCancelled.Errorf("the transaction was rolled back because its request ended")
}

// explain says of an interrupted statement which time was over.
func (t *Transaction) explain(err error) error {
	if errors.Is(err, sdk.ErrCancelled) || errors.Is(err, sdk.ErrTimeout) {
		return t.Ended()
	}
	return err
}
