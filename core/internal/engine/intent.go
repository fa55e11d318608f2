package engine

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

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

// Inspect tells the intent of SQL that a user wrote. It returns ErrSQL unless
// it is one statement that DuckDB can prepare, and ErrDenied for a statement
// that reaches beyond the catalog's data: ATTACH, COPY, SET, PRAGMA, CALL and the
// like by their kind, functions such as enable_logging or checkpoint by the plan,
// in which views and macros are expanded, and writes to the service's metadata.
func (s *Session) Inspect(st sql.Statement) (Intent, error) {
	kind, returning, err := s.kind(st)
	if err != nil {
		return 0, err
	}
	intent, ok := intents[kind]
	if !ok {
		return 0, sdk.ErrDenied.Errorf("this kind of statement is not allowed; allowed are SELECT, INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER and DROP")
	}
	if returning {
		return 0, sdk.ErrDenied.Errorf("RETURNING is not supported; read the rows with a SELECT")
	}
	explained := st
	if intent == Reads {
		explained = sql.New("SELECT * FROM (?\n)", st) // as it will run
	} else if strings.Contains(strings.ToLower(st.SQL()), MetadataSchema) {
		return 0, sdk.ErrDenied.Errorf("schema %s belongs to the service", MetadataSchema)
	}
	if err := s.inspectPlan(explained); err != nil {
		return 0, err
	}
	return intent, nil
}

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

// operator is a node of a plan, as EXPLAIN (FORMAT JSON) prints it.
type operator struct {
	Children []operator `json:"children"`
	Info     struct {
		Function string `json:"Function"`
	} `json:"extra_info"`
}

// functions lists the table functions that a user's statement may scan: those
// that make rows from values, and those that list the catalog. Any other one may
// touch files, settings or the instance.
var functions = map[string]bool{
	"RANGE": true, "GENERATE_SERIES": true, "UNNEST": true, "REPEAT": true, "REPEAT_ROW": true, "JSON_EACH": true, "JSON_TREE": true,
	"DUCKDB_TABLES": true, "DUCKDB_VIEWS": true, "DUCKDB_COLUMNS": true, "DUCKDB_SCHEMAS": true, "DUCKDB_TYPES": true,
	"DUCKDB_CONSTRAINTS": true, "DUCKDB_FUNCTIONS": true, "DUCKDB_KEYWORDS": true, "DUCKDB_INDEXES": true, "DUCKDB_SEQUENCES": true,
	"PRAGMA_TABLE_INFO": true, "PRAGMA_STORAGE_INFO": true, "PRAGMA_SHOW": true, "SEQ_SCAN": true,
}

func (s *Session) inspectPlan(st sql.Statement) error {
	return s.Scan(sql.New("EXPLAIN (FORMAT JSON) ?", st), func(scan func(...any) error) error {
		var key, text string
		if err := scan(&key, &text); err != nil {
			return err
		}
		var plan []operator
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			return sdk.ErrDenied.Errorf("the plan of the statement cannot be inspected")
		}
		return inspectOperators(plan)
	})
}

func inspectOperators(plan []operator) error {
	for _, o := range plan {
		if name := o.Info.Function; name != "" && !functions[strings.ToUpper(name)] {
			return sdk.ErrDenied.Errorf("function %s is not allowed: it reaches beyond the data of the project", strings.ToLower(name))
		}
		if err := inspectOperators(o.Children); err != nil {
			return err
		}
	}
	return nil
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
