package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Format is the form in which a result leaves the engine. It is a media type.
type Format string

// The formats. CSV has a header line, comma, double quotes, LF, and NULL as an
// empty field (an empty text is quoted). JSON is one object with columns and rows, NDJSON
// one object per row. Arrow is an IPC stream. Types that Parquet or Arrow cannot
// hold without loss are texts in them.
const (
	JSON    Format = "application/json"
	NDJSON  Format = "application/x-ndjson"
	CSV     Format = "text/csv"
	Parquet Format = "application/vnd.apache.parquet"
	Arrow   Format = "application/vnd.apache.arrow.stream"
)

// Result is a read with its form.
type Result struct {
	Statement sql.Statement
	Format    Format
	// MaxRows bounds the result; 0 is no bound.
	MaxRows uint64
	// Head is a JSON object whose members come first in a JSON result.
	Head json.RawMessage
	// TypedColumns writes columns as {name, type} in a JSON result.
	TypedColumns bool
}

// Stream runs the read and returns its bytes. An error of the statement that
// shows before the first byte is returned here; a later one comes from Read.
// Memory stays flat for results of any size. Closing the reader early stops the
// statement. The session is of no other use until then.
func (s *Session) Stream(r Result) (io.ReadCloser, error) {
	var limit sql.Statement
	if r.MaxRows > 0 {
		limit = sql.New("LIMIT ?", int64(r.MaxRows))
	}
	query := sql.New("SELECT * FROM (?\n) ?", r.Statement, limit)
	switch r.Format {
	case JSON:
		return s.streamJSON(r, limit)
	case NDJSON:
		return s.streamNDJSON(query)
	case Arrow:
		return s.streamArrow(query)
	case Parquet:
		query, err := s.textFor(query, notInParquet)
		if err != nil {
			return nil, err
		}
		return s.pipe(query, Parquet)
	default:
		return s.pipe(query, r.Format)
	}
}

// Column is a column of a result.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Columns tells the columns of a query without running it.
func (s *Session) Columns(query sql.Statement) ([]Column, error) {
	var out []Column
	err := s.Scan(sql.New("SELECT column_name, column_type FROM (DESCRIBE ?\n)", query), func(scan func(...any) error) error {
		var c Column
		err := scan(&c.Name, &c.Type)
		out = append(out, c)
		return err
	})
	return out, err
}

// running is the reading end of a statement that runs in a goroutine.
type running struct {
	session *Session
	from    io.ReadCloser
	first   []byte // read ahead, to learn of an early error
	stop    func() bool
	done    chan struct{} // the statement has ended, with rows and err
	rows    int64
	err     error
}

// firstBytes is what is read ahead.
const firstBytes = 64 << 10

// run runs a statement that writes to the other end of from, and closes that end.
// It returns once the first bytes are there, or the error in place of them.
func (s *Session) run(from io.ReadCloser, statement func() (rows int64, err error)) (*running, error) {
	r := &running{session: s, from: from, done: make(chan struct{})}
	// A statement that waits for its reader cannot be interrupted, but loses it.
	r.stop = context.AfterFunc(s.ctx, func() { from.Close() })
	go func() {
		defer close(r.done)
		r.rows, r.err = statement()
	}()
	r.first = make([]byte, firstBytes)
	n, err := r.read(r.first)
	if err != nil && !errors.Is(err, io.EOF) {
		r.Close()
		return nil, err
	}
	r.first = r.first[:n]
	return r, nil
}

func (r *running) Read(b []byte) (int, error) {
	if len(r.first) > 0 {
		n := copy(b, r.first)
		r.first = r.first[n:]
		return n, nil
	}
	return r.read(b)
}

// read turns the end of the bytes into the outcome of the statement.
func (r *running) read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	if err == nil || n > 0 {
		return n, nil
	}
	if !errors.Is(err, io.EOF) {
		if ctxErr := r.session.ctx.Err(); ctxErr != nil {
			err = ctxErr
		}
		return 0, r.session.fail(err)
	}
	<-r.done
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}

// Close stops the statement if it still runs and waits for its end.
func (r *running) Close() error {
	r.stop()
	r.from.Close()
	select {
	case <-r.done:
	default:
		r.session.cancel()
		<-r.done
	}
	return nil
}

// ErrIsStatement reports whether an error is the statement's own fault, as
// opposed to one of the service or the machine, of a client that left, or of a project
// that was dropped.
func ErrIsStatement(err *sdk.Error) bool {
	if err.Slug == sdk.ErrCancelled.Slug || err.Slug == sdk.ErrProjectNotFound.Slug {
		return false
	}
	return err.Kind == sdk.Invalid || err.Kind == sdk.NotFound || err.Kind == sdk.Exists || err.Kind == sdk.Denied || err.Kind == sdk.Timeout
}
