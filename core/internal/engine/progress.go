package engine

import (
	"context"
	gosql "database/sql"
	"reflect"
	"sync"
	"time"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

const (
	// shareOfRest is what one statement counts of the progress that is left. Nobody
	// knows what statements are still to come, nor how long they take: so progress
	// never goes back, and never says that all is done while something runs.
	shareOfRest = 0.75
	// leastShown is how long a statement runs before it counts: an import is one that
	// takes minutes, among several that take a millisecond.
	leastShown = 500 * time.Millisecond
)

// Progress tells how far the statements are that run in a context. Nothing measures
// it until somebody asks, and outside of such a context nothing is done for it.
//
// It is for the statements of projects that write or make a file, one after another
// in any number of sessions. The first that runs for half a second counts three
// quarters, the next one three quarters of the rest, and so on.
type Progress struct {
	mu     sync.Mutex
	past   float64         // of the statements that have ended
	shown  float64         // the most that was told
	known  bool            // something was told
	probes map[*probe]bool // of the statements that run
}

type progressKey struct{}

// NewProgress makes one for the contexts that [Progress.Within] returns.
func NewProgress() *Progress { return &Progress{probes: map[*probe]bool{}} }

// Within returns a context whose sessions the Progress asks.
func (p *Progress) Within(ctx context.Context) context.Context {
	return context.WithValue(ctx, progressKey{}, p)
}

// Fraction asks DuckDB how far it is, from 0 to 1. It never goes back; ok is false as
// long as DuckDB could not tell. It may be called while statements begin and end.
func (p *Progress) Fraction() (fraction float64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for running := range p.probes {
		if done, ok := running.ask(); ok {
			p.known = true
			p.shown = max(p.shown, p.past+(1-p.past)*shareOfRest*done)
		}
	}
	return p.shown, p.known
}

// probe asks the connection of one session. Its members are guarded by Progress.mu:
// while it is held, no statement ends and so no connection is closed.
type probe struct {
	of    *Progress
	conn  bindings.Connection
	since time.Time // when the statement began
	shown bool      // it counted
	gone  bool      // the connection is about to be closed
}

// newProbe prepares a session's connection for questions, if its context has a
// Progress. The two settings cost 0.2 ms, and keep DuckDB from printing.
func newProbe(ctx context.Context, a *attachment, conn *gosql.Conn) (*probe, error) {
	of, ok := ctx.Value(progressKey{}).(*Progress)
	if !ok || a.cell.small() {
		return nil, nil
	}
	for _, setting := range []string{"SET SESSION enable_progress_bar_print = false", "SET SESSION enable_progress_bar = true"} {
		if _, err := conn.ExecContext(ctx, setting); err != nil {
			return nil, err
		}
	}
	p := &probe{of: of}
	return p, conn.Raw(func(raw any) (err error) {
		p.conn, err = connectionOf(raw)
		return err
	})
}

// connectionOf looks into a connection of the driver, as handlesOf into a statement.
func connectionOf(conn any) (c bindings.Connection, err error) {
	defer func() {
		if recover() != nil { // reflect, of a field that is gone or another
			err = errDriver
		}
	}()
	c.Ptr = reflect.ValueOf(conn).Elem().FieldByName("conn").FieldByName("Ptr").UnsafePointer()
	if c.Ptr == nil {
		return c, errDriver
	}
	return c, nil
}

// watch lets the Progress ask for the statement that begins now, until the function
// that it returns.
func (p *probe) watch() (end func()) {
	if p == nil {
		return func() {}
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if !p.gone {
		p.since, p.shown = time.Now(), false
		p.of.probes[p] = true
	}
	return p.end
}

func (p *probe) end() {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.shown {
		p.of.past += (1 - p.of.past) * shareOfRest
		p.shown = false
	}
	delete(p.of.probes, p)
}

// leave is the end of the connection, perhaps while a statement runs.
func (p *probe) leave() {
	if p == nil {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.gone = true
	delete(p.of.probes, p)
}

// ask is for who holds Progress.mu.
func (p *probe) ask() (fraction float64, ok bool) {
	if time.Since(p.since) < leastShown {
		return 0, false
	}
	answer := bindings.QueryProgress(p.conn)
	percent, _, _ := bindings.QueryProgressTypeMembers(&answer)
	if percent < 0 { // DuckDB cannot tell
		return 0, false
	}
	p.shown = true
	return min(percent/100, 1), true
}
