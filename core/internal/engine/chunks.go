package engine

import (
	"bufio"
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

// sink writes a result that comes in batches of at most 2048 rows.
type sink interface {
	begin(*arrow.Schema) error
	batch(arrow.RecordBatch) error
	end() error
}

// feedBytes is what is handed to a reader at once.
const feedBytes = 256 << 10

// feed runs a query and returns what a sink makes of its result. DuckDB waits for
// a reader that is slow: beyond the batch that is being read it holds about 1 MB
// ready (its streaming_buffer_size), however large the result.
func (s *Session) feed(query sql.Statement, newSink func(*bufio.Writer) sink) (*running, error) {
	read, write := io.Pipe()
	return s.run(read, func() (int64, error) {
		defer write.Close()
		if err := s.look(); err != nil {
			return 0, err
		}
		buffer := bufio.NewWriterSize(write, feedBytes)
		rows, err := s.chunks(query, newSink(buffer), buffer.Flush)
		if err == nil {
			err = buffer.Flush()
		}
		if err != nil {
			s.forget()
			err = s.cause(query, err)
		}
		return rows, s.fail(err)
	})
}

// cause asks again why a statement failed that nobody interrupted. When one of the
// threads that make a streaming result fails, DuckDB sometimes tells only that
// another was interrupted for it (one failure in 40, measured with 1.5.6).
func (s *Session) cause(query sql.Statement, err error) error {
	var de *duckdb.Error
	if !errors.As(err, &de) || de.Type != duckdb.ErrorTypeInterrupt || s.ctx.Err() != nil {
		return err
	}
	again := s.Scan(sql.New("EXPLAIN ANALYZE ?", query), func(func(...any) error) error { return nil })
	return cmp.Or(again, err)
}

// chunks runs a query chunk by chunk; first is called after the first one.
//
// The driver puts a whole result into memory before its first row, so this goes
// to the C API that the driver is made of.
func (s *Session) chunks(query sql.Statement, to sink, first func() error) (rows int64, err error) {
	err = s.conn.Raw(func(raw any) error {
		prepared, err := raw.(driver.Conn).Prepare(query.SQL())
		if err != nil {
			return err
		}
		defer prepared.Close()
		stmt := prepared.(*duckdb.Stmt)
		args := make([]driver.NamedValue, len(query.Args()))
		for i, value := range query.Args() {
			args[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
		}
		if err := stmt.BindWithCtx(s.ctx, args); err != nil {
			return err
		}
		h, err := handlesOf(stmt)
		if err != nil {
			return err
		}
		defer interrupt(s.ctx, h.conn)()
		rows, err = h.stream(to, first)
		return err
	})
	return rows, err
}

// handles are DuckDB's own names for what the driver holds.
type handles struct {
	conn bindings.Connection
	stmt bindings.PreparedStatement
}

var errDriver = errors.New("the driver no longer keeps its handles where engine.handlesOf looks for them")

// handlesOf looks into a statement of the driver, which keeps its handles to
// itself. The driver's version is pinned, and a test fails when it moves them.
func handlesOf(stmt *duckdb.Stmt) (h handles, err error) {
	defer func() {
		if recover() != nil { // reflect, of a field that is gone or another
			err = errDriver
		}
	}()
	fields := reflect.ValueOf(stmt).Elem()
	h.stmt.Ptr = fields.FieldByName("preparedStmt").Elem().FieldByName("Ptr").UnsafePointer()
	h.conn.Ptr = fields.FieldByName("conn").Elem().FieldByName("conn").FieldByName("Ptr").UnsafePointer()
	if h.stmt.Ptr == nil || h.conn.Ptr == nil {
		return handles{}, errDriver
	}
	return h, nil
}

// errNoReason stands for an error that DuckDB did not explain.
var errNoReason = errors.New("DuckDB refused to run the statement and did not say why")

func (h handles) stream(to sink, first func() error) (rows int64, err error) {
	var pending bindings.PendingResult
	// If it fails, so does the next call, which tells the kind of the error as well.
	// It is deprecated with all streaming, and DuckDB 1.5 has no successor in its C API.
	bindings.PendingPreparedStreaming(h.stmt, &pending)
	defer bindings.DestroyPending(&pending)
	var result bindings.Result
	state := bindings.ExecutePending(pending, &result)
	defer bindings.DestroyResult(&result)
	if state == bindings.StateError {
		return 0, cmp.Or(resultError(&result), errNoReason)
	}
	options := bindings.ResultGetArrowOptions(&result)
	defer bindings.DestroyArrowOptions(&options)
	schema, err := arrowSchema(options, &result)
	if err != nil {
		return 0, err
	}
	if err := to.begin(schema); err != nil {
		return 0, err
	}
	for {
		n, err := next(&result, options, schema, to)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return rows, to.end()
		}
		if rows == 0 {
			if err := first(); err != nil {
				return 0, err
			}
		}
		rows += n
	}
}

// next moves one chunk of the result and returns its rows; none is the end.
func next(result *bindings.Result, options bindings.ArrowOptions, schema *arrow.Schema, to sink) (int64, error) {
	chunk := bindings.FetchChunk(*result)
	if chunk.Ptr == nil {
		return 0, resultError(result)
	}
	defer bindings.DestroyDataChunk(&chunk)
	batch, err := arrowBatch(options, schema, chunk)
	if err != nil {
		return 0, err
	}
	defer batch.Release()
	return batch.NumRows(), to.batch(batch)
}

// resultError is what a result failed with, or nil.
func resultError(result *bindings.Result) error {
	message := bindings.ResultError(result)
	if message == "" {
		return nil
	}
	return &duckdb.Error{Type: duckdb.ErrorType(bindings.ResultErrorType(result)), Msg: message}
}

// interruptEvery is how often an interrupt is repeated: DuckDB forgets one that
// comes while a statement begins.
const interruptEvery = 10 * time.Millisecond

// interrupt interrupts what a connection runs when ctx ends. After the function
// that it returns no interrupt comes any more: it would hit the COMMIT.
func interrupt(ctx context.Context, conn bindings.Connection) (end func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		again := time.NewTicker(interruptEvery)
		defer again.Stop()
		for {
			bindings.Interrupt(conn)
			select {
			case <-done:
				return
			case <-again.C:
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
