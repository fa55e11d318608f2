// Package sql builds SQL from constant templates, quoted names and bound values.
//
// Start with [New]. It is the only way to make a [Statement], and its template
// must be a constant of the program, so that text from outside can reach a
// statement only as a quoted name, a quoted literal or a bound value:
//
//	sql.New("SELECT ? FROM ? WHERE id = ?",
//		sql.Names("id", "total"), sql.Table{Schema: "in.c-main", Name: "orders"}, 42)
//
// The package knows DuckDB's quoting rules and nothing of its catalog: it does
// not check that a name exists.
package sql

import (
	"fmt"
	"strings"
)

// Statement is one SQL statement, or a part of one, with its bound values.
//
// The zero Statement is empty; as a part it disappears.
type Statement struct {
	text string
	args []any
}

// SQL returns the text with a parameter mark (?) for each of Args.
func (s Statement) SQL() string { return s.text }

// Args returns the bound values in order: nil, bool, int64, float64, string,
// []byte, RowsAffected or Elapsed.
func (s Statement) Args() []any { return s.args }

// IsZero reports whether the statement has no text.
func (s Statement) IsZero() bool { return s.text == "" }

// RowsAffected stands for the number of rows that an earlier statement of the
// same Unit changed. Statements are counted from 0, those of Stage before those of
// Do. The host binds it as an integer.
type RowsAffected uint32

// Elapsed stands for the seconds that an earlier statement of the same Unit
// took, counted as for RowsAffected. The host binds it as a double.
type Elapsed uint32

// Name is an identifier: a schema, table or column. It is always quoted.
type Name string

// Table is the name of a table or view.
type Table struct {
	// Catalog is that of another project, whose bucket is linked. Empty, as almost
	// always, is the catalog of the request; such a name keeps its meaning when the file
	// becomes a branch.
	Catalog      string
	Schema, Name string
}

// String returns the quoted name, of three parts or two.
func (t Table) String() string {
	name := quoteName(t.Schema) + "." + quoteName(t.Name)
	if t.Catalog == "" {
		return name
	}
	return quoteName(t.Catalog) + "." + name
}

// Database is what DuckDB's catalog functions call the table's catalog: an expression.
func (t Table) Database() Statement {
	if t.Catalog == "" {
		return New("current_database()")
	}
	return New("?", t.Catalog)
}

// Literal is text that must stand in the statement itself because DuckDB binds
// no parameter there: options, defaults, paths.
type Literal string

// template is unexported so that only constants convert to it.
type template string

// New builds a statement: each ? of the template takes the next part.
//
//   - Name and Table are quoted as identifiers,
//   - Literal is quoted as a string,
//   - Statement is spliced in together with its bound values,
//   - []Statement is spliced in joined by ", ",
//   - anything else is bound as a value: nil, bool, integers, float64, string,
//     []byte, RowsAffected, Elapsed.
//
// A template has no other use for ?. New panics when marks and parts differ in
// number or a part is of another type: both are bugs of the caller.
func New(t template, parts ...any) Statement {
	pieces := strings.Split(string(t), "?")
	if len(pieces) != len(parts)+1 {
		panic(fmt.Sprintf("sql: template %q has %d marks and %d parts", t, len(pieces)-1, len(parts)))
	}
	var b builder
	b.text.WriteString(pieces[0])
	for i, part := range parts {
		b.add(part)
		b.text.WriteString(pieces[i+1])
	}
	return Statement{text: b.text.String(), args: b.args}
}

// Names returns the quoted names as parts for New.
func Names[S ~string](names ...S) []Statement {
	out := make([]Statement, len(names))
	for i, n := range names {
		out[i] = New("?", Name(n))
	}
	return out
}

// Join splices the parts with a constant separator between them.
func Join(separator template, parts []Statement) Statement {
	var b builder
	for i, p := range parts {
		if i > 0 {
			b.text.WriteString(string(separator))
		}
		b.add(p)
	}
	return Statement{text: b.text.String(), args: b.args}
}

// Raw is a statement that a user wrote, with its values. It must run only where
// the user's own rights are the limit: see the query command. It panics for a
// value that cannot be bound, as New does.
func Raw(text string, args ...any) Statement {
	b := builder{}
	for _, a := range args {
		b.bind(a)
	}
	return Statement{text: text, args: b.args}
}

type builder struct {
	text strings.Builder
	args []any
}

func (b *builder) add(part any) {
	switch p := part.(type) {
	case Name:
		b.text.WriteString(quoteName(string(p)))
	case Table:
		b.text.WriteString(p.String())
	case Literal:
		b.text.WriteString(quoteLiteral(string(p)))
	case Statement:
		b.text.WriteString(p.text)
		b.args = append(b.args, p.args...)
	case []Statement:
		b.add(Join(", ", p))
	default:
		b.text.WriteByte('?')
		b.bind(p)
	}
}

// bind adds a value for a mark.
func (b *builder) bind(value any) {
	switch v := value.(type) {
	case nil, bool, int64, float64, string, []byte, RowsAffected, Elapsed:
	case int:
		value = int64(v)
	case uint32:
		value = int64(v)
	default:
		panic(fmt.Sprintf("sql: cannot bind a %T", value))
	}
	b.args = append(b.args, value)
}

// quoteName quotes an identifier. A NUL would end DuckDB's input early, so it
// is replaced: no object can have such a name, and nothing is cut off.
func quoteName(s string) string {
	return `"` + strings.ReplaceAll(noNUL(s), `"`, `""`) + `"`
}

func quoteLiteral(s string) string {
	return `'` + strings.ReplaceAll(noNUL(s), `'`, `''`) + `'`
}

func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", "\uFFFD") }
