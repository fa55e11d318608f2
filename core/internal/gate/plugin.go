package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// indirect are functions that run or read what their arguments name, so that no
// token of the statement does.
var indirect = set("query query_table histogram_values json_execute_serialized_sql duckdb_table_sample read_duckdb")

// Guest returns ErrDenied for SQL of a plugin that names the catalog of another project
// or branch, or might in a way that its text does not show. It may have several
// statements. A text without any such word costs a look at its bytes.
func Guest(text string, own Names) error {
	lower := strings.ToLower(text)
	if !strings.Contains(lower, "project_") && !strings.Contains(lower, `\`) && !mentions(lower) {
		return nil
	}
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return err
	}
	j := judge{own: own, tokens: tokens}
	for i, t := range tokens {
		name := strings.ToLower(t.Value)
		called := t.Name() && j.at(i+1).Symbol("(") && !j.declared(i)
		switch {
		case t.Name() && own.foreign(t.Value), t.Kind == sqltext.String && own.within(t.Value):
			return sdk.ErrDenied.Errorf("%q is the service's own name for another project or branch, and a plugin may not use it; data of another project is read through a bucket that is linked", t.Value)
		case called && indirect[name]:
			return sdk.ErrDenied.Errorf("function %s is not allowed to a plugin, because what it reads is not in the text; name the table", name)
		case called && sequences[name] && (j.at(i+2).Kind != sqltext.String || !j.at(i+3).Symbol(")")):
			return sdk.ErrDenied.Errorf("%s takes the name of a sequence as a text in the statement: %s('bucket.name')", name, name)
		}
	}
	return nil
}

// mentions reports whether a text in lower case has one of the functions that name
// things by their arguments.
func mentions(lower string) bool {
	for f := range indirect {
		if strings.Contains(lower, f) {
			return true
		}
	}
	return strings.Contains(lower, "val") && (strings.Contains(lower, "nextval") || strings.Contains(lower, "currval"))
}

// within reports whether a text is a name with parts, one of which is another
// catalog's. What cannot be read as one names nothing.
func (n Names) within(text string) bool {
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return false
	}
	for _, t := range tokens {
		if t.Name() && n.foreign(t.Value) {
			return true
		}
	}
	return false
}
