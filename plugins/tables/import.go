package tables

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// source is the file of an import and how to read it.
type source struct {
	path    string
	options api.CSVOptions
	columns []string // in the order of the file
	header  bool     // the first line after the ignored ones names them
}

func importFile(c *sdk.Context, in api.ImportRequest) (sdk.Unit, error) {
	t := tableOf(in.TableRequest)
	if in.Options.ImportType == api.Incremental {
		return sdk.Unit{}, sdk.ErrUnsupported.Errorf("incremental import is not supported yet; use importType full").At("/options/importType")
	}
	if err := checkCSV(&in.CSV); err != nil {
		return sdk.Unit{}, err
	}
	kind, err := kindOf(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	if kind == "VIEW" {
		return sdk.Unit{}, sdk.ErrInvalid.Errorf("%q is a view; rows are imported into tables", t.Name)
	}
	s, err := describe(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	src, err := open(c, in)
	if err != nil {
		return sdk.Unit{}, err
	}
	if err := checkColumns(src.columns, s); err != nil {
		return sdk.Unit{}, err
	}
	return load(t, s, src), nil
}

// checkCSV fills the dialect's defaults and checks the rest.
func checkCSV(o *api.CSVOptions) error {
	if o.Delimiter == "" {
		o.Delimiter = ","
	}
	if o.Enclosure == nil {
		quote := `"`
		o.Enclosure = &quote
	}
	if len(o.Delimiter) != 1 || o.Delimiter == "\n" || o.Delimiter == "\r" {
		return api.ErrCSVParams.Errorf("delimiter %q must be one ASCII character", o.Delimiter).At("/csv/delimiter")
	}
	if len(*o.Enclosure) > 1 || *o.Enclosure == o.Delimiter || utf8.RuneCountInString(*o.Enclosure) != len(*o.Enclosure) {
		return api.ErrCSVParams.Errorf("enclosure %q must be empty or one ASCII character other than the delimiter", *o.Enclosure).At("/csv/enclosure")
	}
	if o.IgnoredLines < 0 || o.IgnoredLines > maxIgnoredLines {
		return api.ErrCSVParams.Errorf("ignoredLines must be 0 to %d", maxIgnoredLines).At("/csv/ignoredLines")
	}
	return nil
}

// open finds the file and the columns in it.
func open(c *sdk.Context, in api.ImportRequest) (source, error) {
	f, err := c.Files().Get(in.FileID)
	if err != nil {
		return source{}, err
	}
	if f.State != sdk.FileRegistered {
		return source{}, api.ErrNoContent.Errorf("file %q is %s; upload and register it first (storage.fileNotUploaded)", f.ID, f.State).At("/fileId")
	}
	src := source{path: f.HostPath, options: in.CSV, columns: in.Columns, header: in.Columns == nil}
	switch {
	case src.header:
		src.columns, err = readHeader(c, src)
	case in.CSV.IgnoredLines > 0:
		_, err = readHead(c, src, 0)
	}
	return src, err
}

// checkColumns compares the file's columns with the table's. Case counts, as in
// Keboola, although DuckDB ignores it.
func checkColumns(columns []string, s shape) error {
	if len(columns) == 0 {
		return api.ErrNoColumns.Errorf("the file has no columns").At("/columns")
	}
	var unknown []string
	for i, name := range columns {
		if slices.Contains(columns[:i], name) {
			return api.ErrDuplicateName.Errorf("column %q stands twice in the file", name).At("/columns")
		}
		if _, ok := s.find(name); !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return api.ErrColumns.Errorf("Columns %q can be imported as it was not found between columns %q of destination table.",
			strings.Join(unknown, ", "), strings.Join(s.names(), ", ")).At("/columns").With("columns", strings.Join(unknown, ","))
	}
	return nil
}

// load replaces the rows of the table in one transaction.
func load(t sql.Table, s shape, src source) sdk.Unit {
	names := sql.Names(src.columns...)
	values := make([]sql.Statement, len(src.columns))
	for i, name := range src.columns {
		col, _ := s.find(name)
		values[i] = checked(col)
	}
	if _, managed := s.find(timestampColumn); managed && !slices.Contains(src.columns, timestampColumn) {
		names = append(names, sql.New("?", sql.Name(timestampColumn)))
		values = append(values, now)
	}
	rows := sql.New("SELECT ? FROM ?", values, reader(s, src))
	do := []sql.Statement{
		sql.New("DELETE FROM ?", t),
		sql.New("INSERT INTO ? (?) ?", t, names, rows),
	}
	loaded := sql.RowsAffected(1)
	timers := sql.New("{name: 'copyToTable', \"durationSeconds\": ?::DOUBLE}", sql.Elapsed(1))
	if len(s.PrimaryKey) > 0 {
		do = append(stage(t, names, rows), sql.New("DELETE FROM ?", t),
			sql.New("INSERT INTO ? (?) SELECT DISTINCT ON (?) * FROM ?", t, names, sql.Names(s.PrimaryKey...), staging),
			sql.New("DROP TABLE ?", staging))
		timers = sql.New(`{name: 'copyToStaging', "durationSeconds": ?::DOUBLE}, {name: 'copyFromStagingToTarget', "durationSeconds": ?::DOUBLE}`, sql.Elapsed(1), sql.Elapsed(3))
	}
	do = append(do,
		sql.New("INSERT INTO __storage.tables SELECT ?, ?, [], true, NULL, NULL WHERE NOT EXISTS (FROM __storage.tables WHERE ?)", t.Schema, t.Name, ofTable("name", t)),
		sql.New("UPDATE __storage.tables SET last_import = ? WHERE ?", now, ofTable("name", t)))
	return sdk.Unit{
		Require: []sdk.Precondition{unchanged(t, s)},
		Do:      do,
		Answer: sql.New(`SELECT ?::BIGINT AS "importedRowsCount", (SELECT count(*) FROM ?) AS "tableRowsCount", ?::BIGINT AS "tableSizeBytes",
			[?] AS "importedColumns", [?] AS timers, []::VARCHAR[] AS warnings`, loaded, t, sql.SizeOf(t), texts(src.columns), timers),
	}
}

// staging takes the rows of a table with a key before one is kept for each key.
// It lives on the connection, spills to disk, and is gone with the transaction.
var staging = sql.Table{Schema: "temp", Name: "import_staging"}

func stage(t sql.Table, names []sql.Statement, rows sql.Statement) []sql.Statement {
	return []sql.Statement{
		sql.New("CREATE TEMP TABLE ? AS SELECT ? FROM ? LIMIT 0", sql.Name(staging.Name), names, t),
		sql.New("INSERT INTO ? ?", staging, rows),
	}
}

// checked is a column of the file, with the length that DuckDB does not check.
func checked(c column) sql.Statement {
	name := sql.Name(c.Name)
	if c.Length == nil {
		return sql.New("?", name)
	}
	return sql.New("CASE WHEN length(?) > ? THEN error(? || length(?)) ELSE ? END", name, *c.Length,
		fmt.Sprintf("Field %s: STRING(%d) has maximum length %d but got a value with length ", c.Name, *c.Length, *c.Length), name, name)
}

// reader is the file as a table. Nothing is guessed: the dialect and the types
// are given, so one file means one thing.
func reader(s shape, src source) sql.Statement {
	var (
		types   []sql.Statement
		notNull []sql.Statement
	)
	for _, name := range src.columns {
		c, _ := s.find(name)
		types = append(types, sql.New("?: ?", sql.Name(name), sql.Literal(c.Type)))
		if !s.IsTyped && c.Type == "VARCHAR" {
			// In a string table an empty field is an empty text, never NULL.
			notNull = append(notNull, sql.New("?", sql.Literal(name)))
		}
	}
	return sql.New(`read_csv(?, auto_detect = false, columns = {?}, header = ?, skip = ?, delim = ?, quote = ?, escape = ?,
		nullstr = '', force_not_null = [?]::VARCHAR[], compression = ?, strict_mode = true)`,
		sql.Literal(src.path), types, boolean(src.header), number(src.options.IgnoredLines), sql.Literal(src.options.Delimiter),
		sql.Literal(*src.options.Enclosure), sql.Literal(*src.options.Enclosure), notNull, compression(src.options.Compression))
}

func boolean(b bool) sql.Statement {
	if b {
		return sql.New("true")
	}
	return sql.New("false")
}

func compression(c api.Compression) sql.Literal {
	if c == "" {
		return "auto"
	}
	return sql.Literal(c)
}
