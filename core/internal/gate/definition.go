package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// definable are the kinds of things that a user may define, by verb.
var definable = map[string]map[string]bool{
	"CREATE": set("TABLE VIEW SCHEMA MACRO INDEX SEQUENCE TYPE"),
	"ALTER":  set("TABLE VIEW SEQUENCE"),
	"DROP":   set("TABLE VIEW SCHEMA MACRO INDEX SEQUENCE TYPE"),
}

// checkDefinition refuses definitions of what is not the project's.
func (j *judge) checkDefinition() error {
	d := j.definition
	if !j.defines {
		if j.tokens[0].IsOne("create", "alter", "drop") {
			return sdk.ErrSQL.Errorf("%s of what? Allowed are TABLE, VIEW, SCHEMA, MACRO, INDEX and SEQUENCE", strings.ToUpper(j.tokens[0].Text))
		}
		return nil
	}
	if !definable[d.Verb][d.Kind] {
		return sdk.ErrDenied.Errorf("%s %s is not allowed; allowed are TABLE, VIEW, SCHEMA, MACRO, INDEX and SEQUENCE", d.Verb, d.Kind)
	}
	if d.Temporary {
		return sdk.ErrDenied.Errorf("nothing temporary outlives its statement; use WITH, or make a table and drop it")
	}
	if len(d.Name) == 0 || len(d.Name) > 3 {
		return sdk.ErrSQL.Errorf("%s %s needs the name of a thing: of a bucket and a table, for example", d.Verb, d.Kind)
	}
	for _, p := range d.Name {
		if instances[strings.ToLower(p)] && (len(d.Name) > 1 || d.Kind == "SCHEMA") {
			return errInstance(p)
		}
	}
	if err := j.checkOwn(); err != nil {
		return err
	}
	switch {
	case d.Kind == "SCHEMA" && d.Verb == "CREATE":
		return sdk.Name(d.In()).CheckBucket()
	case d.Kind == "TYPE" && !strings.EqualFold(d.In(), "main"):
		// DuckDB 1.5.6 cannot replay the log of a type in another schema.
		return sdk.ErrDenied.Errorf("a type can be made and dropped in the schema main only")
	}
	return nil
}

// checkOwn refuses the project's own alias in a definition, but in the name of what
// is defined. What is stored would go on reading this catalog from its copies, such as
// branches.
func (j *judge) checkOwn() error {
	allowed := 0
	if len(j.definition.Name) == 3 || j.definition.Kind == "SCHEMA" && len(j.definition.Name) == 2 {
		allowed = 1
	}
	for _, t := range j.tokens {
		text := t.Value
		if t.Kind != sqltext.String && !t.Name() || !strings.Contains(strings.ToLower(text), strings.ToLower(j.own.Own)) {
			continue
		}
		if allowed--; allowed < 0 {
			return sdk.ErrDenied.Errorf("a definition may not name %s, because its copy in a branch would go on reading this one; name things by bucket and table", j.own.Own)
		}
	}
	return nil
}
