package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

// streamJSON streams one object with the columns and an array for each row.
func (s *Session) streamJSON(r Result, limit sql.Statement) (io.ReadCloser, error) {
	columns, err := s.Columns(r.Statement)
	if err != nil {
		return nil, err
	}
	head, err := jsonHead(r, columns)
	if err != nil {
		return nil, err
	}
	names, values := jsonValues(columns)
	body, err := s.feed(sql.New("SELECT json_array(?)::VARCHAR FROM (?\n) AS r(?) ?", values, r.Statement, names, limit), newLines)
	if err != nil {
		return nil, err
	}
	return newEnvelope(head, body), nil
}

// streamNDJSON streams an object for each row.
func (s *Session) streamNDJSON(query sql.Statement) (io.ReadCloser, error) {
	columns, err := s.Columns(query)
	if err != nil {
		return nil, err
	}
	names, values := jsonValues(columns)
	members := make([]sql.Statement, len(columns))
	for i, c := range columns {
		members[i] = sql.New("?, ?", sql.Literal(c.Name), values[i])
	}
	return s.feed(sql.New("SELECT json_object(?)::VARCHAR FROM (?\n) AS r(?)", members, query, names), newLines)
}

// jsonHead is what comes before the rows.
func jsonHead(r Result, columns []Column) ([]byte, error) {
	var listed any = columns
	if !r.TypedColumns {
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.Name
		}
		listed = names
	}
	columnsJSON, err := json.Marshal(listed)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	if members := bytes.TrimSpace(r.Head); len(members) > 2 && members[0] == '{' {
		b.Write(members[1 : len(members)-1])
		b.WriteByte(',')
	}
	fmt.Fprintf(&b, `"columns":%s,"rows":[`, columnsJSON)
	return b.Bytes(), nil
}

// jsonValues gives columns names of their own, because a result may have one name
// twice, and returns them with what each value is in JSON. DuckDB makes the JSON:
// twice as fast as scanning the values in Go, and right for every type it has
// (measured).
func jsonValues(columns []Column) (names, values []sql.Statement) {
	names, values = make([]sql.Statement, len(columns)), make([]sql.Statement, len(columns))
	for i, c := range columns {
		names[i] = sql.New("?", sql.Name(fmt.Sprintf("c%d", i)))
		values[i] = jsonValue(names[i], c.Type)
	}
	return names, values
}

// jsonValue renders a column so that no value is lost or invalid in JSON:
// integers up to 64 bits, finite floats and booleans as they are, nested values
// as arrays and objects, everything else as text.
func jsonValue(name sql.Statement, columnType string) sql.Statement {
	nested := strings.ContainsAny(columnType, "[(") && !strings.HasPrefix(columnType, "DECIMAL") || columnType == "JSON"
	switch {
	case columnType == "FLOAT" || columnType == "DOUBLE":
		return sql.New("CASE WHEN isfinite(?) THEN to_json(?) ELSE to_json(?::VARCHAR) END", name, name, name)
	case nested && (strings.Contains(columnType, "FLOAT") || strings.Contains(columnType, "DOUBLE")):
		return sql.New("?::VARCHAR", name)
	case nested:
		return name
	}
	switch columnType {
	case "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER":
		return name
	}
	return sql.New("?::VARCHAR", name)
}

// lines writes a result of one text column, a line for each row.
type lines struct{ to *bufio.Writer }

func newLines(to *bufio.Writer) sink { return lines{to} }

func (l lines) begin(*arrow.Schema) error { return nil }

func (l lines) batch(b arrow.RecordBatch) error {
	column, ok := b.Column(0).(*array.String)
	if !ok {
		return fmt.Errorf("a line of JSON is %s, not a text", b.Column(0).DataType())
	}
	for i := range column.Len() {
		if _, err := l.to.WriteString(column.Value(i)); err != nil {
			return err
		}
		if err := l.to.WriteByte('\n'); err != nil {
			return err
		}
	}
	return nil
}

func (l lines) end() error { return nil }

// envelope turns lines into the rows of one JSON object.
type envelope struct {
	head  []byte // what is to be sent next: the head, then chunks of rows
	body  io.ReadCloser
	buf   []byte
	held  bool // a row has ended and it is not known whether another follows
	ended bool
}

func newEnvelope(head []byte, body io.ReadCloser) *envelope {
	return &envelope{head: head, body: body, buf: make([]byte, 64<<10)}
}

func (e *envelope) Close() error { return e.body.Close() }

func (e *envelope) Read(b []byte) (int, error) {
	if len(e.head) > 0 {
		n := copy(b, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	if e.ended {
		return 0, io.EOF
	}
	n, err := e.body.Read(e.buf)
	if n == 0 && err == io.EOF {
		e.ended = true
		return copy(b, "]}\n"), nil
	}
	if n == 0 {
		return 0, err
	}
	// A line break inside JSON text is escaped, so each one here ends a row. It
	// becomes a comma only once another row follows.
	out := make([]byte, 0, n+n/8+2)
	for chunk := e.buf[:n]; len(chunk) > 0; {
		line, rest, ended := bytes.Cut(chunk, []byte{'\n'})
		if e.held && len(line) > 0 {
			out = append(out, ",\n"...)
			e.held = false
		}
		out = append(out, line...)
		e.held = e.held || ended
		chunk = rest
	}
	e.head = out
	return e.Read(b)
}
