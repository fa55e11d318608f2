package engine

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
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

// Judged is a user's statement that may be run.
type Judged struct {
	Intent Intent
	// Statement is to be run in place of what came: it is what was judged.
	Statement sql.Statement
	// Definition is what it defines, or nothing.
	Definition sqltext.Definition
}

// Inspect judges SQL that a user wrote; package gate tells in which layers. It returns
// ErrSQL unless it is one statement that DuckDB can prepare, and ErrDenied for a statement
// that reaches beyond the data of this catalog and of the buckets that are linked into it:
// by its kind, by a name, or by its plan, in which views and macros are expanded.
func (s *Session) Inspect(st sql.Statement) (Judged, error) {
	judged, err := gate.Judge(st.SQL(), s.names())
	if err != nil {
		return Judged{}, err
	}
	if err := s.checkGrowth(judged); err != nil {
		return Judged{}, err
	}
	// What a statement changes is planned in a transaction that may write, and is undone.
	if err := s.Begin(); err != nil {
		return Judged{}, err
	}
	defer s.leave()
	run := sql.Raw(judged.SQL, st.Args()...)
	kind, returning, err := s.kind(run)
	if err != nil {
		return Judged{}, noFile(err)
	}
	intent, ok := intents[kind]
	if !ok {
		return Judged{}, sdk.ErrDenied.Errorf("this kind of statement is not allowed; allowed are SELECT, INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER and DROP")
	}
	if returning {
		return Judged{}, sdk.ErrDenied.Errorf("RETURNING is not supported; read the rows with a SELECT")
	}
	explained := []sql.Statement{run}
	if intent == Reads {
		explained[0] = sql.New("SELECT * FROM (?\n)", run) // as it will run
	}
	if judged.Body != "" {
		explained = append(explained, sql.New("SELECT * FROM (?\n)", sql.Raw(judged.Body)))
	}
	for _, st := range explained {
		if err := s.inspectPlan(st, judged); err != nil {
			return Judged{}, noFile(err)
		}
	}
	return Judged{Intent: intent, Statement: run, Definition: judged.Definition}, nil
}

// noFile is what a user is told of an error that may be of a file: nothing that
// depends on whether there is one, and what is in it.
func noFile(err error) error {
	var known *sdk.Error
	if errors.As(err, &known) && known.Slug != sdk.ErrCSV.Slug && !fileError.MatchString(known.Detail) {
		return err
	}
	return sdk.ErrDenied.Errorf("the statement names something that is no table of the project; SQL reads no files: import a file into a table first")
}

// fileError matches what DuckDB says when it has tried to open a file.
var fileError = regexp.MustCompile(`(?i)cannot access (file|directory)|file system|permission error|no files found|no extension found that is capable|cannot open|could not (read|open)|\bsniff|missing extension|autoload|\bhttpfs\b`)

// kind prepares a statement and tells what it is, and whether it is a change that
// returns rows: any other change has the one column Count.
func (s *Session) kind(st sql.Statement) (kind duckdb.StmtType, returning bool, err error) {
	err = s.conn.Raw(func(raw any) error {
		prepared, err := raw.(driver.Conn).Prepare(st.SQL())
		if err != nil {
			return err
		}
		defer prepared.Close()
		stmt := prepared.(*duckdb.Stmt)
		if err := checkParameters(stmt, len(st.Args())); err != nil {
			return err
		}
		if kind, err = stmt.StatementType(); err != nil || !changes[kind] {
			return err
		}
		name, err := stmt.ColumnName(0)
		returning = name != "Count"
		return err
	})
	var de *duckdb.Error
	var known *sdk.Error
	switch {
	case err == nil:
		return kind, returning, nil
	case errors.As(err, &de), errors.As(err, &known), s.ctx.Err() != nil:
		return 0, false, s.fail(err)
	default:
		return 0, false, sdk.ErrSQL.Errorf("send exactly one statement; a PIVOT must name its values with IN")
	}
}

// checkParameters compares the parameters of a statement with the values for them.
func checkParameters(stmt *duckdb.Stmt, values int) error {
	if n := stmt.NumInput(); n != values {
		return sdk.ErrSQL.Errorf("the statement has %d parameters, but params has %d values", n, values)
	}
	for i := range values {
		name, err := stmt.ParamName(i + 1)
		if err != nil {
			return err
		}
		if _, err := strconv.Atoi(name); err != nil {
			return sdk.ErrSQL.Errorf("parameter $%s has a name; write ? or $1", name)
		}
	}
	return nil
}

// changes are the statements that can have RETURNING.
var changes = map[duckdb.StmtType]bool{
	duckdb.STATEMENT_TYPE_INSERT: true, duckdb.STATEMENT_TYPE_UPDATE: true, duckdb.STATEMENT_TYPE_DELETE: true, mergeStatement: true,
}

// MetadataSchema is the schema of every catalog that holds the service's own
// metadata.
const MetadataSchema = gate.Metadata

func (i Intent) String() string {
	switch i {
	case Reads:
		return "reads"
	case Writes:
		return "writes"
	}
	return fmt.Sprintf("Intent(%d)", int(i))
}
