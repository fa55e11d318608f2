package tables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func create(_ *sdk.Context, in api.CreateRequest) (sdk.Unit, error) {
	t := sql.Table{Schema: string(in.Bucket), Name: string(in.Name)}
	if err := in.Bucket.CheckBucket(); err != nil {
		return sdk.Unit{}, sdk.ErrBucketNotFound.Errorf("bucket %q does not exist", in.Bucket).With("bucket", t.Schema)
	}
	columns, typed, err := defineAll(in)
	if err != nil {
		return sdk.Unit{}, err
	}
	unit := sdk.Unit{Require: []sdk.Precondition{notLinked(t)}, Answer: view(place{table: t, kind: kindTable}), Events: []sdk.Emission{api.Created.Of(about(t))}}
	ddl := make([]sql.Statement, len(columns))
	for i, c := range columns {
		ddl[i] = c.ddl()
		if !c.def.IsZero() {
			unit.Require = append(unit.Require, sdk.Expect(
				sql.New("SELECT 1 WHERE TRY_CAST(? AS ?) IS NOT NULL", c.def, c.ddlType),
				sdk.ErrInvalid.Errorf("Invalid default value for column %q: it is not a valid %s.", c.name, c.ddlType.SQL()).At(fmt.Sprintf("/columns/%d/default", i))))
		}
	}
	unit.Do = append([]sql.Statement{sql.New("CREATE TABLE ? (?)", t, ddl)}, forget(t)...)
	unit.Do = append(unit.Do, sql.New("INSERT INTO __storage.tables VALUES (?, ?, [?]::VARCHAR[], ?, ?, NULL)",
		t.Schema, t.Name, texts(in.PrimaryKey), typed, now))
	for _, c := range columns {
		if c.length > 0 {
			unit.Do = append(unit.Do, sql.New("INSERT INTO __storage.column_lengths VALUES (?, ?, ?, ?)", t.Schema, t.Name, c.name, c.length))
		}
	}
	return unit, nil
}

func (d definition) ddl() sql.Statement {
	out := sql.New("? ?", sql.Name(d.name), d.ddlType)
	if !d.nullable {
		out = sql.New("? NOT NULL", out)
	}
	if !d.def.IsZero() {
		out = sql.New("? DEFAULT ?", out, d.def)
	}
	return out
}

// defineAll checks the columns and the key of a new table.
func defineAll(in api.CreateRequest) (columns []definition, typed bool, err error) {
	if len(in.Columns) == 0 {
		return nil, false, api.ErrNoColumns.Errorf("a table needs at least one column").At("/columns")
	}
	typed = !in.Columns[0].Bare
	for i, spec := range in.Columns {
		pointer := fmt.Sprintf("/columns/%d", i)
		if spec.Bare == typed {
			return nil, false, sdk.ErrInvalid.Errorf("columns must be all bare names or all objects").At(pointer)
		}
		d := stringColumn(string(spec.Name))
		if typed {
			if d, err = define(spec, pointer, slices.Contains(in.PrimaryKey, string(spec.Name))); err != nil {
				return nil, false, err
			}
		}
		if other := slices.IndexFunc(columns, func(c definition) bool { return strings.EqualFold(c.name, d.name) }); other >= 0 {
			return nil, false, api.ErrDuplicateName.Errorf("columns %q and %q have the same name (case does not count)", columns[other].name, d.name).At(pointer)
		}
		columns = append(columns, d)
	}
	if !typed && !slices.ContainsFunc(columns, func(c definition) bool { return c.name == timestampColumn }) {
		columns = append(columns, definition{name: timestampColumn, ddlType: types["TIMESTAMP"], nullable: true})
	}
	return columns, typed, checkKey(in.PrimaryKey, columns)
}

// stringColumn is a column of a string table: text, never NULL, empty by default.
func stringColumn(name string) definition {
	if name == timestampColumn {
		return definition{name: name, ddlType: types["TIMESTAMP"], nullable: true}
	}
	return definition{name: name, ddlType: types["STRING"], def: sql.New("''"), keyable: true}
}

func checkKey(key []string, columns []definition) error {
	for i, k := range key {
		pointer := fmt.Sprintf("/primaryKey/%d", i)
		at := slices.IndexFunc(columns, func(c definition) bool { return c.name == k })
		switch {
		case at < 0:
			return sdk.ErrInvalid.Errorf("primary key column %q is not a column of the table", k).At(pointer)
		case slices.Contains(key[:i], k):
			return sdk.ErrInvalid.Errorf("primary key column %q is named twice", k).At(pointer)
		case columns[at].nullable:
			return sdk.ErrInvalid.Errorf("Selected column %q is nullable", k).At(pointer)
		case !columns[at].keyable:
			return sdk.ErrInvalid.Errorf("Primary key column %q cannot be of type FLOAT", k).At(pointer)
		}
	}
	return nil
}

func texts(values []string) []sql.Statement {
	out := make([]sql.Statement, len(values))
	for i, v := range values {
		out[i] = sql.New("?", v)
	}
	return out
}
