package sdktest

import (
	"context"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// commit is what a Fail of Transact matches to have the commit refused.
const commit = "COMMIT"

// transaction is the host's end of a Transact. Each of its requests is a Callback
// of the exchange; one without an operation stands for the rollback.
type transaction struct {
	c     callbacks
	ctx   context.Context
	token string // of the first request

	next *pluginv1.TransactResponse // to be received
	over bool
}

// Transact opens a transaction; a second one beside it is refused.
func (c callbacks) Transact(ctx context.Context) (sdk.Transaction, error) {
	return &transaction{c: c, ctx: ctx}, nil
}

func (t *transaction) Send(r *pluginv1.TransactRequest) error {
	h := t.c.Host
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case t.over:
		return io.EOF
	case t.ctx.Err() != nil:
		return t.ctx.Err()
	case t.token == "":
		if t.token = r.GetCallToken(); h.transaction != nil {
			t.end(&pluginv1.TransactResponse{Error: errInTransaction("Transact").Proto()})
			return nil
		}
		h.transaction = t
	}
	resp := t.answer(r)
	if h.running != nil {
		h.running.Callbacks = append(h.running.Callbacks, Callback{"Transact", r, resp})
	}
	t.next = resp
	if resp.GetError() != nil || r.GetCommit() != nil {
		t.end(resp)
	}
	return nil
}

// answer executes a request. The caller holds the mutex.
func (t *transaction) answer(r *pluginv1.TransactRequest) *pluginv1.TransactResponse {
	h, subject := t.c.Host, subjectOf(r)
	if err := h.admit("Transact", t.token, subject); err != nil {
		return &pluginv1.TransactResponse{Error: err.Proto()}
	}
	switch {
	case r.GetCommit() != nil:
		h.checkEvents(r.GetCommit().GetEvents())
		i := slices.IndexFunc(h.answers, func(a answer) bool { return a.callback == "Transact" && a.match == commit })
		if i < 0 {
			return &pluginv1.TransactResponse{}
		}
	case r.GetQuery() != nil:
		h.demand(h.running.Command+" reads in a transaction", sdk.ReadSQL)
		if found, ok := h.take("Query", subject).(*pluginv1.QueryResponse); ok {
			return &pluginv1.TransactResponse{Rows: found.GetRows(), Error: found.GetError()}
		}
	}
	if found, ok := h.take("Transact", subject).(*pluginv1.TransactResponse); ok {
		return proto.CloneOf(found)
	}
	h.t.Errorf("sdktest: %s makes a callback that the test has no answer for: Transact %s", h.running.Command, subject)
	return &pluginv1.TransactResponse{Error: sdk.ErrInternal.Errorf("the test has no answer for this statement").Proto()}
}

func subjectOf(r *pluginv1.TransactRequest) string {
	switch {
	case r.GetCommit() != nil:
		return commit
	case r.GetQuery() != nil:
		return r.GetQuery().GetSql()
	}
	return r.GetExecute().GetSql()
}

// end closes the transaction with its last response. The caller holds the mutex.
func (t *transaction) end(last *pluginv1.TransactResponse) {
	t.next, t.over = last, true
	if t.c.transaction == t {
		t.c.transaction = nil
	}
}

func (t *transaction) Recv() (*pluginv1.TransactResponse, error) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.next == nil {
		return nil, io.EOF
	}
	resp := t.next
	t.next = nil
	return resp, nil
}

// CloseSend rolls back what was not committed.
func (t *transaction) CloseSend() error {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.over || t.token == "" {
		return nil
	}
	t.end(nil)
	if x := t.c.running; x != nil {
		x.Callbacks = append(x.Callbacks, Callback{"Transact", &pluginv1.TransactRequest{}, &pluginv1.TransactResponse{}})
	}
	return nil
}

func errInTransaction(callback string) *sdk.Error {
	return sdk.ErrConflict.Errorf("%s is refused while a transaction of the command is open: it would wait for its own command", callback)
}

// OnExec answers the next Exec of a transaction whose SQL contains match with the
// rows that it changed. A Query of a transaction is answered by OnQuery, and a
// commit needs no answer; Fail("Transact", "COMMIT", err) refuses it.
func (h *Host) OnExec(match string, affected int64) {
	h.on("Transact", match, &pluginv1.TransactResponse{RowsAffected: affected})
}
