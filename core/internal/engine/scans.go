package engine

import (
	"encoding/json"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// names are the catalogs that a statement of the session might name.
func (s *Session) names() gate.Names {
	names := gate.Names{Own: s.Alias()}
	for _, m := range s.att.cell.members {
		if m.Alias != names.Own {
			names.Cell = append(names.Cell, m.Alias)
		}
	}
	return names
}

// operator is a node of a plan, as EXPLAIN (FORMAT JSON) prints it. A scan of a table
// names that; one of a table function is called like it.
type operator struct {
	Name     string     `json:"name"`
	Children []operator `json:"children"`
	Info     struct {
		Table string `json:"Table"`
	} `json:"extra_info"`
}

// errPlan says that the plan has a form that nobody here knows.
var errPlan = sdk.ErrDenied.Errorf("the plan of the statement cannot be inspected")

// logicalPlan is how EXPLAIN calls the plan that it prints first: views and macros are
// expanded, and nothing is optimised away.
const logicalPlan = "logical_plan"

// plan returns the operators of the plan of a statement.
func (s *Session) plan(st sql.Statement) (plan []operator, err error) {
	err = s.Scan(sql.New("EXPLAIN (FORMAT JSON) ?", st), func(scan func(...any) error) error {
		var key, text string
		if err := scan(&key, &text); err != nil || key != logicalPlan {
			return err
		}
		if json.Unmarshal([]byte(text), &plan) != nil {
			return errPlan
		}
		return nil
	})
	if err == nil && len(plan) == 0 {
		err = errPlan
	}
	return plan, err
}

// walk calls fn for each operator.
func walk(plan []operator, fn func(operator) error) error {
	for _, o := range plan {
		if err := fn(o); err != nil {
			return err
		}
		if err := walk(o.Children, fn); err != nil {
			return err
		}
	}
	return nil
}

// table is the table that an operator scans, or nothing.
func (o operator) table() (sql.Table, error) {
	if o.Info.Table == "" {
		return sql.Table{}, nil
	}
	tokens, err := sqltext.Lex(o.Info.Table)
	parts := sqltext.Qualified(tokens)
	if err != nil || len(tokens) != 2*len(parts)-1 || len(parts) != 3 {
		return sql.Table{}, errPlan
	}
	return sql.Table{Catalog: parts[0], Schema: parts[1], Name: parts[2]}, nil
}

// Scans tells the tables that a read scans, in views and macros as well, in no order and
// as often as it scans them. It does not run it.
func (s *Session) Scans(st sql.Statement) ([]sql.Table, error) {
	plan, err := s.plan(st)
	if err != nil {
		return nil, err
	}
	var out []sql.Table
	err = walk(plan, func(o operator) error {
		t, err := o.table()
		if err == nil && t.Name != "" {
			out = append(out, t)
		}
		return err
	})
	return out, err
}

// inspectPlan refuses a statement whose plan has a function that reaches beyond the
// data, a table of the service, or one of a catalog from which nothing is linked.
func (s *Session) inspectPlan(st sql.Statement, judged gate.Statement) error {
	plan, err := s.plan(st)
	if err != nil {
		return err
	}
	var sources map[string]bool // only a statement with a linked bucket needs them
	return walk(plan, func(o operator) error {
		refused, lists := gate.Refuses(o.Name)
		if refused || lists && !judged.Lists {
			return sdk.ErrDenied.Errorf("function %s is not allowed: it reaches beyond the data of the project", strings.ToLower(o.Name))
		}
		t, err := o.table()
		switch {
		case err != nil || t.Name == "":
			return err
		case strings.EqualFold(t.Schema, MetadataSchema):
			return sdk.ErrDenied.Errorf("schema %s belongs to the service", MetadataSchema)
		case t.Catalog == s.Alias():
			return nil
		}
		if sources == nil {
			if sources, err = s.sources(); err != nil {
				return err
			}
		}
		if !sources[t.Catalog] {
			return sdk.ErrDenied.Errorf("the statement reads data that is not linked into the project")
		}
		return nil
	})
}

// sources are the catalogs that buckets are linked from, and those that these show in
// turn.
func (s *Session) sources() (map[string]bool, error) {
	found := map[string]bool{}
	for next := []string{s.Alias()}; len(next) > 0; next = next[1:] {
		links := sql.Table{Catalog: next[0], Schema: MetadataSchema, Name: "links"}
		// Asked first, because an error would end the transaction.
		kind, err := s.Lookup(links.Catalog, links.Schema, links.Name)
		if err != nil {
			return nil, err
		}
		if kind != Table {
			continue
		}
		err = s.Scan(sql.New("SELECT DISTINCT source_catalog FROM ?", links), func(scan func(...any) error) error {
			var source string
			if err := scan(&source); err != nil {
				return err
			}
			if source != s.Alias() && !found[source] {
				found[source] = true
				next = append(next, source)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
