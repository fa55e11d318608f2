package tables

import (
	"slices"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// stageBytes is the size of a file from which on an import keeps out of the
// project's turn. Below it, reading the file takes less time than the look at the
// catalog that this needs: 0.2 s in a project of 5000 tables (measured).
const stageBytes = 4 << 20

// staging takes the rows of a table with a key before one is kept for each key.
// It lives on the connection, spills to disk, and is gone with the transaction.
var staging = sql.Table{Schema: "temp", Name: "import_staging"}

// load is what both ways to load a file share: the columns that are filled, and
// the rows for them.
type load struct {
	table   sql.Table
	shape   shape
	source  source
	columns []sql.Statement
	rows    sql.Statement
}

func newLoad(t sql.Table, s shape, src source) load {
	columns := sql.Names(src.columns...)
	values := make([]sql.Statement, len(src.columns))
	for i, name := range src.columns {
		col, _ := s.find(name)
		values[i] = checked(col)
	}
	if _, managed := s.find(timestampColumn); managed && !slices.Contains(src.columns, timestampColumn) {
		columns = append(columns, sql.New("?", sql.Name(timestampColumn)))
		values = append(values, now)
	}
	return load{table: t, shape: s, source: src, columns: columns, rows: sql.New("SELECT ? FROM ?", values, reader(s, src))}
}

// refill replaces the rows of a table in the project's turn.
func refill(t sql.Table, s shape, src source) sdk.Unit {
	l := newLoad(t, s, src)
	do := append([]sql.Statement{sql.New("DELETE FROM ?", t)}, l.into(t)...)
	return l.unit(sdk.Unit{Require: []sdk.Precondition{notLinked(t), unchanged(t, s)}, Do: do})
}

// replace fills a new table outside of the project's turn and gives it the place
// of the old one in the turn, which takes no time.
func replace(old replaceable, s shape, src source) sdk.Unit {
	l := newLoad(old.table, s, src)
	// No request can make a table with such a name.
	fresh := sql.Table{Schema: old.table.Schema, Name: old.table.Name + "/import"}
	stage := append([]sql.Statement{sql.New("CREATE TABLE ? (?)", fresh, old.columns)}, l.into(fresh)...)
	return l.unit(sdk.Unit{
		Lock:    "table " + old.table.String(),
		Stage:   stage,
		Require: []sdk.Precondition{notLinked(old.table), unchanged(old.table, s), old.stillReplaceable()},
		Do:      []sql.Statement{sql.New("DROP TABLE ?", old.table), sql.New("ALTER TABLE ? RENAME TO ?", fresh, sql.Name(old.table.Name))},
	})
}

// into fills a table that is empty or was emptied by the one statement before.
func (l load) into(t sql.Table) []sql.Statement {
	if !l.keyed() {
		return []sql.Statement{sql.New("INSERT INTO ? (?) ?", t, l.columns, l.rows)}
	}
	return []sql.Statement{
		sql.New("CREATE TEMP TABLE ? AS SELECT ? FROM ? LIMIT 0", sql.Name(staging.Name), l.columns, t),
		sql.New("INSERT INTO ? ?", staging, l.rows),
		sql.New("INSERT INTO ? (?) SELECT DISTINCT ON (?) * FROM ?", t, l.columns, sql.Names(l.shape.PrimaryKey...), staging),
		sql.New("DROP TABLE ?", staging),
	}
}

func (l load) keyed() bool { return len(l.shape.PrimaryKey) > 0 }

// unit adds what an import notes and answers.
func (l load) unit(u sdk.Unit) sdk.Unit {
	t := l.table
	u.Events = []sdk.Emission{api.Imported.Of(about(t))}
	u.Unordered = true // a table has no order, and which row of a key is kept is not defined
	u.Do = append(u.Do,
		sql.New("INSERT INTO __storage.tables SELECT ?, ?, [], true, NULL, NULL WHERE NOT EXISTS (FROM __storage.tables WHERE ?)", t.Schema, t.Name, ofTable("name", t)),
		sql.New("UPDATE __storage.tables SET last_import = ? WHERE ?", now, ofTable("name", t)))
	// The statement before those of into has the number 0.
	read, timers := sql.RowsAffected(1), sql.New("{name: 'copyToTable', \"durationSeconds\": ?::DOUBLE}", sql.Elapsed(1))
	if l.keyed() {
		read, timers = 2, sql.New(`{name: 'copyToStaging', "durationSeconds": ?::DOUBLE}, {name: 'copyFromStagingToTarget', "durationSeconds": ?::DOUBLE}`, sql.Elapsed(2), sql.Elapsed(3))
	}
	u.Answer = sql.New(`SELECT ?::BIGINT AS "importedRowsCount", (SELECT count(*) FROM ?) AS "tableRowsCount", ?::BIGINT AS "tableSizeBytes",
			[?] AS "importedColumns", [?] AS timers, []::VARCHAR[] AS warnings`, read, t, sql.SizeOf(t), texts(l.source.columns), timers)
	return u
}
