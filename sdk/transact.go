package sdk

import (
	"context"
	"errors"
	"io"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Tx is a transaction that stays open between callbacks. It is valid until the
// function given to Transact returns, and of one goroutine.
type Tx struct {
	c      *Context
	stream Transaction
	token  string // sent with the first request
	events []Emission
	err    error // after which nothing works
}

// Transact runs fn in one transaction, in the catalog's turn of the write queue, and
// commits when fn returns nil. Any error, also one of Exec or Query that fn did not
// pass on, rolls all of it back, and so does the end of the request or of the plugin.
//
// It is for what cannot be said as a Unit: statements that depend on what earlier ones
// found. Every write of the project waits meanwhile, so a transaction is rolled back
// that is idle for a minute, or lasts for ten. Only a command declared with Writes
// may ask for it. Inside of it, Write, another Transact, and a Call of a command that
// writes are refused: they would wait for their own command.
func (c *Context) Transact(fn func(*Tx) error) error {
	ctx, cancel := context.WithCancel(c.Context)
	defer cancel() // also when fn panics
	stream, err := c.host.Transact(ctx)
	if err != nil {
		return callbackError(c, "Transact", err)
	}
	tx := &Tx{c: c, stream: stream, token: c.request.GetCallToken()}
	if err := fn(tx); err != nil {
		tx.end()
		return err
	}
	return tx.commit()
}

// Exec runs a statement and returns how many rows it changed.
func (t *Tx) Exec(s sql.Statement) (rowsAffected int64, err error) {
	resp, err := t.ask(&pluginv1.TransactRequest{Operation: &pluginv1.TransactRequest_Execute{Execute: statement(s)}})
	return resp.GetRowsAffected(), err
}

// Emit has the event stored with the commit.
func (t *Tx) Emit(e Emission) { t.events = append(t.events, e) }

// query sees what the transaction has done so far.
func (t *Tx) query(s sql.Statement) ([]byte, error) {
	resp, err := t.ask(&pluginv1.TransactRequest{Operation: &pluginv1.TransactRequest_Query{Query: statement(s)}})
	return resp.GetRows(), err
}

func (t *Tx) commit() error {
	defer t.end()
	if t.err != nil {
		return t.err
	}
	events, err := emissions(t.events)
	if err != nil {
		return err
	}
	_, err = t.ask(&pluginv1.TransactRequest{Operation: &pluginv1.TransactRequest_Commit{Commit: &pluginv1.Commit{Events: events}}})
	return err
}

// ask sends a request and waits for its response. After an error the host has rolled
// back, and every further request fails with it.
func (t *Tx) ask(r *pluginv1.TransactRequest) (*pluginv1.TransactResponse, error) {
	if t.err != nil {
		return nil, t.err
	}
	r.CallToken, t.token = t.token, ""
	err := t.stream.Send(r)
	var resp *pluginv1.TransactResponse
	if err == nil || errors.Is(err, io.EOF) { // then Recv says why
		resp, err = t.stream.Recv()
	}
	switch {
	case err != nil:
		t.err = callbackError(t.c, "Transact", err)
	case resp.GetError() != nil:
		t.err = ErrorFromProto(resp.GetError())
	}
	return resp, t.err
}

// end closes the stream and waits until the host has closed it: nothing of the
// transaction is left then.
func (t *Tx) end() {
	if t.err == nil {
		t.err = ErrConflict.Errorf("the transaction is over: a Tx is valid until the function given to Transact returns")
	}
	_ = t.stream.CloseSend() // fails only for a stream that has ended
	for {
		if _, err := t.stream.Recv(); err != nil {
			return
		}
	}
}

func emissions(events []Emission) ([]*pluginv1.Emission, error) {
	var out []*pluginv1.Emission
	for _, e := range events {
		p, err := e.proto()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
