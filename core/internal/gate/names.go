package gate

import (
	"regexp"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// Names are the catalogs that a statement might name.
type Names struct {
	Own  string   // the alias of the project's own catalog
	Cell []string // the aliases of all that share an instance with it
}

// alias is how the service calls a project's catalog, as sdk.Name has it too: no
// bucket has such a name.
var alias = regexp.MustCompile(`(?i)^project_[a-z0-9_-]+_(main|branch_[a-z0-9_-]+)$`)

// foreign reports whether a name is that of another catalog, there is one or not.
func (n Names) foreign(name string) bool {
	if strings.EqualFold(name, n.Own) {
		return false
	}
	if alias.MatchString(name) {
		return true
	}
	for _, other := range n.Cell {
		if strings.EqualFold(name, other) {
			return true
		}
	}
	return false
}

// checkNames refuses names of other catalogs and of the service's schema, wherever
// they stand: a name is a name only to DuckDB's grammar, and a harmless use of these
// is rare.
func (j *judge) checkNames() error {
	for i, t := range j.tokens {
		if !t.Name() {
			continue
		}
		if err := j.own.check(t.Value); err != nil {
			return err
		}
		if strings.HasPrefix(t.Value, sdk.MetadataPrefix) && i+1 < len(j.tokens) && j.tokens[i+1].Symbol(".") {
			return sdk.ErrDenied.Errorf("schema %s belongs to the service", t.Value)
		}
	}
	return nil
}

// check refuses a name.
func (n Names) check(name string) error {
	if strings.EqualFold(name, Metadata) {
		return sdk.ErrDenied.Errorf("schema %s belongs to the service", Metadata)
	}
	if n.foreign(name) {
		return sdk.ErrDenied.Errorf("the name %q is the service's own for a project or branch, and a statement may not use it; data of another project is read through a bucket that is linked", name)
	}
	return nil
}

// checkText refuses a text that DuckDB takes for a name, as in nextval('a.b').
func (n Names) checkText(text string) error {
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return err
	}
	parts := sqltext.Qualified(tokens)
	if len(parts) == 0 || len(tokens) != 2*len(parts)-1 {
		return sdk.ErrSQL.Errorf("%q is not the name of a thing", text)
	}
	for _, p := range parts {
		if err := n.check(p); err != nil {
			return err
		}
	}
	for _, p := range parts[:len(parts)-1] {
		if strings.HasPrefix(p, sdk.MetadataPrefix) || instances[strings.ToLower(p)] {
			return errInstance(p)
		}
	}
	return nil
}

// instances are DuckDB's own catalogs, which are not the project's.
var instances = set("system memory temp pg_catalog")

func errInstance(name string) error {
	return sdk.ErrDenied.Errorf("%s is not a part of the project; name a bucket and a table", name)
}
