package pluginhost

import (
	"context"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Transact serves one transaction: the stream is the transaction. However the stream
// ends, what was not committed is rolled back and the turn is free when Transact
// returns.
func (c callbacks) Transact(stream pluginv1.HostService_TransactServer) error {
	request, err := stream.Recv()
	if err != nil {
		return nil // it never began
	}
	i, ctx, end, err := c.within(stream.Context(), request.GetCallToken(), use{callback: "Transact", permission: sdk.WriteSQL, turn: true, transact: true})
	if err != nil {
		return stream.Send(&pluginv1.TransactResponse{Error: c.failure(nil, "Transact", err)})
	}
	defer end()
	t := transaction{callbacks: c, i: i, token: request.GetCallToken(), ctx: ctx, stream: stream, requests: receive(stream)}
	defer t.close()
	return t.serve(request)
}

// receive passes on the requests of a stream until that ends, which it does at the
// latest when its server returns.
func receive(stream pluginv1.HostService_TransactServer) <-chan *pluginv1.TransactRequest {
	out := make(chan *pluginv1.TransactRequest)
	go func() {
		defer close(out)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case out <- r:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return out
}

// transaction is a Transact callback that is open.
type transaction struct {
	callbacks
	i        *invocation
	token    string
	ctx      context.Context
	stream   pluginv1.HostService_TransactServer
	requests <-chan *pluginv1.TransactRequest
	tx       *plan.Transaction
}

// serve answers each request, the last one when it committed or when something went
// wrong.
func (t *transaction) serve(request *pluginv1.TransactRequest) (err error) {
	if t.tx, err = t.host.cfg.Executor.Transact(t.ctx, t.i.Target); err != nil {
		return t.refuse(err)
	}
	for {
		resp, err := t.do(request)
		if err != nil {
			return t.refuse(err)
		}
		if request.GetCommit() != nil {
			t.close()
			return t.stream.Send(resp)
		}
		if err := t.send(resp); err != nil {
			return err
		}
		if request, err = t.next(); err != nil {
			return t.refuse(err)
		}
		if request == nil {
			return nil
		}
	}
}

// do does what one request asks for.
func (t *transaction) do(request *pluginv1.TransactRequest) (*pluginv1.TransactResponse, error) {
	switch op := request.GetOperation().(type) {
	case *pluginv1.TransactRequest_Execute:
		if err := t.i.grants.demandStatement(op.Execute); err != nil {
			return nil, err
		}
		n, err := t.tx.Exec(op.Execute)
		return &pluginv1.TransactResponse{RowsAffected: n}, err
	case *pluginv1.TransactRequest_Query:
		if err := t.i.grants.demand(sdk.ReadSQL, "query in a transaction"); err != nil {
			return nil, err
		}
		if err := t.i.grants.demandRead(op.Query); err != nil {
			return nil, err
		}
		rows, err := t.tx.Query(op.Query)
		return &pluginv1.TransactResponse{Rows: rows}, err
	case *pluginv1.TransactRequest_Commit:
		return &pluginv1.TransactResponse{}, t.commit(op.Commit)
	}
	return &pluginv1.TransactResponse{}, nil // only the token
}

// commit makes the transaction durable with its events. From here on the plugin's
// death leaves something behind. When its call is over, that may be asked again
// already: then nothing is committed any more.
func (t *transaction) commit(c *pluginv1.Commit) error {
	events, err := t.host.emit(t.i.run, c.GetEvents())
	if err != nil {
		return err
	}
	if err := t.noteCommit(); err != nil {
		return err
	}
	defer events.committed()
	return t.tx.Commit(events.along()...)
}

func (t *transaction) noteCommit() error {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	if _, err := t.host.running(t.token); err != nil {
		return err
	}
	t.i.noteWrite()
	return nil
}

// send hands over a response while the transaction is open. A plugin that does not
// read it keeps the turn no longer than one that asks for nothing.
func (t *transaction) send(resp *pluginv1.TransactResponse) error {
	sent := make(chan error, 1)
	go func() { sent <- t.stream.Send(resp) }() // ends with the stream at the latest
	idle := time.NewTimer(t.tx.Idle())
	defer idle.Stop()
	select {
	case err := <-sent:
		return err
	case <-idle.C:
		return t.tx.WasIdle()
	case <-t.tx.Done():
		return t.tx.Ended()
	}
}

// next waits for a request, or for what ends the transaction; nil is the end of the
// stream.
func (t *transaction) next() (*pluginv1.TransactRequest, error) {
	idle := time.NewTimer(t.tx.Idle())
	defer idle.Stop()
	select {
	case r := <-t.requests:
		return r, nil
	case <-idle.C:
		return nil, t.tx.WasIdle()
	case <-t.tx.Done():
		return nil, t.tx.Ended()
	}
}

// refuse ends the transaction, and then says why: the plugin may not be listening.
func (t *transaction) refuse(err error) error {
	t.close()
	return t.stream.Send(&pluginv1.TransactResponse{Error: t.failure(t.i, "Transact", err)})
}

func (t *transaction) close() {
	if t.tx != nil {
		t.tx.Close()
	}
}
