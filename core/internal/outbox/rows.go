package outbox

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	// MaxPayloadBytes bounds an event. A fact has a few names and numbers; what is
	// larger belongs into a table or a file that the event names.
	MaxPayloadBytes = 64 << 10
	// MaxEvents bounds the events of a transaction: storing them takes some 0.1 ms each,
	// in the catalog's turn. Who has more to tell has a list for one event.
	MaxEvents = 1000
	// perStatement is how many rows one statement stores.
	perStatement = 100
	// batch is how many rows a lane reads at a time: 6.4 MB at most.
	batch = 100
	// maxErrorBytes of an error are kept with an event that was set aside.
	maxErrorBytes = 2000
)

// Event is an event that is about to be committed.
type Event struct {
	ID          string // unique in the whole service
	Name        string
	Payload     []byte // JSON
	RequestID   string
	RunID       string
	Depth       int      // of the calls, jobs and events that led to it
	Subscribers []string // at least one
}

// Insert stores events, in their order, in the transaction that they are about.
func Insert(events []Event, now time.Time) []sql.Statement {
	var rows []sql.Statement
	for _, e := range events {
		for _, subscriber := range e.Subscribers {
			rows = append(rows, sql.New("(?, ?, ?, ?, ?, ?, ?, ?)", len(rows)%perStatement, e.ID, e.Name, subscriber, string(e.Payload), e.RequestID, e.RunID, e.Depth))
		}
	}
	var out []sql.Statement
	for part := range slices.Chunk(rows, perStatement) {
		// The sequence is asked once: in which order a statement would ask it for its rows
		// is not promised.
		out = append(out, sql.New(`INSERT INTO __storage.outbox
			WITH statement AS MATERIALIZED (SELECT nextval('__storage.outbox_order') AS number)
			SELECT statement.number * ? + event.n, event.id, event.name, event.subscriber, event.payload, event.request_id, event.run_id, event.depth, make_timestamp(?), NULL, NULL
			FROM statement, (VALUES ?) AS event(n, id, name, subscriber, payload, request_id, run_id, depth)`, perStatement, now.UnixMicro(), part))
	}
	return out
}

// row is an event that waits for one subscriber.
type row struct {
	seq int64
	Delivery
}

// read returns the first rows of a lane.
func (d *Dispatcher) read(ctx context.Context, k key) ([]row, error) {
	s, err := d.cfg.Executor.Session(ctx, k.target())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var out []row
	err = s.Scan(sql.New(`SELECT seq, event_id, event, payload, request_id, run_id, depth, epoch_us(committed) FROM __storage.outbox
		WHERE subscriber = ? AND failed_at IS NULL ORDER BY seq LIMIT ?`, k.subscriber, batch),
		func(scan func(...any) error) error {
			r := row{Delivery: Delivery{Target: k.target(), Subscriber: k.subscriber}}
			var payload string
			var micros int64
			err := scan(&r.seq, &r.ID, &r.Event, &payload, &r.RequestID, &r.RunID, &r.Depth, &micros)
			r.Payload, r.Committed = []byte(payload), time.UnixMicro(micros).UTC()
			out = append(out, r)
			return err
		})
	return out, err
}

// aside is a row that was given up.
type aside struct {
	row
	err string
}

// settle removes what a lane has delivered, up to the last row, and marks what it gave
// up, in one transaction of the catalog's write queue. It goes by the ids of events as
// well: numbers begin anew in the catalog of a project that was dropped and created
// again meanwhile.
func (d *Dispatcher) settle(ctx context.Context, k key, last row, given []aside) error {
	var st []sql.Statement
	for _, a := range given {
		st = append(st, sql.New("UPDATE __storage.outbox SET failed_at = make_timestamp(?), error = ? WHERE seq = ? AND event_id = ?",
			time.Now().UnixMicro(), strings.ToValidUTF8(a.err[:min(len(a.err), maxErrorBytes)], ""), a.seq, a.ID))
	}
	st = append(st, sql.New(`DELETE FROM __storage.outbox WHERE subscriber = ? AND failed_at IS NULL AND seq <= ?
		AND EXISTS (FROM __storage.outbox AS last WHERE last.seq = ? AND last.event_id = ?)`, k.subscriber, last.seq, last.seq, last.ID))
	return d.write(ctx, k.target(), st...)
}

// waiting counts the rows of a catalog by subscriber.
func (d *Dispatcher) waiting(ctx context.Context, target *pluginv1.Target) (map[string]int, error) {
	s, err := d.cfg.Executor.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	out := map[string]int{}
	err = s.Scan(sql.New("SELECT subscriber, count(*) FROM __storage.outbox WHERE failed_at IS NULL GROUP BY subscriber"),
		func(scan func(...any) error) error {
			var subscriber string
			var n int
			err := scan(&subscriber, &n)
			out[subscriber] = n
			return err
		})
	return out, err
}

// forget removes old rows of a subscriber that nobody knows.
func (d *Dispatcher) forget(ctx context.Context, target *pluginv1.Target, subscriber string) error {
	return d.write(ctx, target, sql.New("DELETE FROM __storage.outbox WHERE subscriber = ? AND committed < make_timestamp(?)",
		subscriber, time.Now().Add(-d.cfg.Keep).UnixMicro()))
}

// write runs the dispatcher's own statements in the catalog's turn.
func (d *Dispatcher) write(ctx context.Context, target *pluginv1.Target, statements ...sql.Statement) error {
	_, err := d.cfg.Executor.Write(ctx, target, &pluginv1.Unit{}, plan.Along(func() ([]sql.Statement, error) { return statements, nil }))
	return err
}
