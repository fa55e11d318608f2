package engine

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/sdk"
)

// Intent is what a user's statement wants.
type Intent int

// The intents. A statement that wants anything else is refused.
const (
	Reads  Intent = iota + 1 // SELECT and what stands for it: runs beside others
	Writes                   // changes data or schema: needs the write queue
)

// mergeStatement is MERGE INTO in DuckDB's C API; the driver has no name for it.
const mergeStatement duckdb.StmtType = 30

var intents = map[duckdb.StmtType]Intent{
	duckdb.STATEMENT_TYPE_SELECT: Reads,
	duckdb.STATEMENT_TYPE_INSERT: Writes,
	duckdb.STATEMENT_TYPE_UPDATE: Writes,
	duckdb.STATEMENT_TYPE_DELETE: Writes,
	duckdb.STATEMENT_TYPE_CREATE: Writes,
	duckdb.STATEMENT_TYPE_ALTER:  Writes,
	duckdb.STATEMENT_TYPE_DROP:   Writes,
	mergeStatement:               Writes,
}

// Inspect tells the intent of SQL that a user wrote. It returns ErrSQL unless
// it is one statement that DuckDB can prepare, and ErrDenied for a kind of
// statement that reaches beyond the catalog's data: ATTACH, COPY, SET, PRAGMA,
// CALL, INSTALL and the like, or that changes the service's own metadata.
func (s *Session) Inspect(text string) (Intent, error) {
	var kind duckdb.StmtType
	err := s.conn.Raw(func(raw any) error {
		stmt, err := raw.(driver.Conn).Prepare(text)
		if err != nil {
			return err
		}
		defer stmt.Close()
		kind, err = stmt.(*duckdb.Stmt).StatementType()
		return err
	})
	if err != nil {
		var de *duckdb.Error
		if !errors.As(err, &de) {
			return 0, sdk.ErrSQL.Errorf("send exactly one statement")
		}
		return 0, s.fail(err)
	}
	intent, ok := intents[kind]
	if !ok {
		return 0, sdk.ErrDenied.Errorf("this kind of statement is not allowed; allowed are SELECT, INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER and DROP")
	}
	if intent == Writes && strings.Contains(strings.ToLower(text), MetadataSchema) {
		return 0, sdk.ErrDenied.Errorf("schema %s belongs to the service", MetadataSchema)
	}
	return intent, nil
}

// MetadataSchema is the schema of every catalog that holds the service's own
// metadata.
const MetadataSchema = "__storage"

func (i Intent) String() string {
	switch i {
	case Reads:
		return "reads"
	case Writes:
		return "writes"
	}
	return fmt.Sprintf("Intent(%d)", int(i))
}
