package plan

import (
	"context"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Links keeps what buckets show that are linked from elsewhere; see package links.
type Links interface {
	// Update brings the linked buckets of a session's catalog up to date, as far as it
	// can. It returns true if the catalog first has to be joined with others: then
	// the session is closed, Join called, and a new one opened.
	Update(ctx context.Context, target *pluginv1.Target, s *engine.Session) (apart bool)
	// Join makes the catalog live in one cell with those that it shows.
	Join(ctx context.Context, target *pluginv1.Target)
	// Guard returns ErrDenied for a definition in a linked bucket.
	Guard(target *pluginv1.Target, d sqltext.Definition) error
	// Explain says of a failed write that it was to a linked bucket, if it was.
	Explain(target *pluginv1.Target, text string, err error) error
	// Changed is told what a transaction has committed.
	Changed(target *pluginv1.Target, c Changes)
}

// Changes is what the statements of a transaction define, as far as it matters to those
// who show buckets of its catalog.
type Changes struct {
	Definitions []sqltext.Definition
	// Shares says that the shares may have changed, and All that anything may have.
	Shares, All bool
}

// Any reports whether there are any.
func (c Changes) Any() bool { return len(c.Definitions) > 0 || c.Shares || c.All }

// maxDefinitions is how many definitions of a transaction are remembered one by one.
const maxDefinitions = 100

// note remembers what the statements of a text define, and returns it.
func (c *Changes) note(text string) (defined []sqltext.Definition) {
	c.Shares = c.Shares || strings.Contains(text, "shares") && strings.Contains(text, engine.MetadataSchema)
	if moves(text) {
		return nil
	}
	tokens, err := sqltext.Lex(text)
	c.All = c.All || err != nil
	for len(tokens) > 0 {
		one, rest := statement(tokens)
		tokens = rest
		d, defines := sqltext.Define(within(one))
		if defines {
			defined = append(defined, d)
		}
		switch {
		case len(one) == 0 || one[0].IsOne(movers...):
		case defines && len(c.Definitions) < maxDefinitions && !one[0].IsOne(wrappers...):
			c.Definitions = append(c.Definitions, d)
		default:
			c.All = true
		}
	}
	return defined
}

// statement returns the tokens up to the next semicolon, and those after it.
func statement(tokens []sqltext.Token) (one, rest []sqltext.Token) {
	end := slices.IndexFunc(tokens, func(t sqltext.Token) bool { return t.Symbol(";") })
	if end < 0 {
		return tokens, nil
	}
	return tokens[:end], tokens[end+1:]
}

// wrappers begin the statements that hold another one, which runs then or later.
var wrappers = []string{"prepare", "explain"}

// within returns the definition that a statement holds, or else the statement.
func within(tokens []sqltext.Token) []sqltext.Token {
	if len(tokens) == 0 || !tokens[0].IsOne(wrappers...) {
		return tokens
	}
	return tokens[max(0, slices.IndexFunc(tokens, func(t sqltext.Token) bool { return t.IsOne("create", "alter", "drop") })):]
}

// movers begin the statements that define nothing.
var movers = []string{
	"select", "with", "from", "values", "insert", "update", "delete", "merge", "truncate", "describe", "show", "summarize", "pivot", "unpivot",
}

// moves reports of most texts that define nothing that they do not, for the price of a
// look for semicolons.
func moves(text string) bool {
	end := strings.IndexFunc(text, func(r rune) bool { return r < 'A' || r > 'z' })
	return end > 0 && slices.Contains(movers, strings.ToLower(text[:end])) && !strings.Contains(text, ";")
}

// guarded refuses a statement that defines something in a linked bucket, and remembers
// what it defines.
func (x *Executor) guarded(target *pluginv1.Target, c *Changes, text string) error {
	if x.Links == nil {
		return nil
	}
	for _, d := range c.note(text) {
		if err := x.Links.Guard(target, d); err != nil {
			return err
		}
	}
	return nil
}

// unshare ends the shares of buckets that the statements took away, before the commit:
// a bucket that is made anew under such a name is another one, which nobody has shared.
func (c Changes) unshare(s *engine.Session) error {
	for _, d := range c.Definitions {
		if d.Verb != "DROP" || d.Kind != "SCHEMA" {
			continue
		}
		if _, err := s.Exec(sql.New("DELETE FROM __storage.shares WHERE ?", sql.SameName("bucket", d.In()))); err != nil {
			return err
		}
	}
	if !c.All {
		return nil
	}
	_, err := s.Exec(sql.New(`DELETE FROM __storage.shares WHERE NOT EXISTS (
		FROM duckdb_schemas() WHERE database_name = current_database() AND schema_name = bucket)`))
	return err
}

// explain says of a failed write that it was to a linked bucket, if it was.
func (x *Executor) explain(target *pluginv1.Target, text string, err error) error {
	if err == nil || x.Links == nil {
		return err
	}
	return x.Links.Explain(target, text, err)
}

// changed tells what was committed to those who show it.
func (x *Executor) changed(target *pluginv1.Target, c Changes) {
	if x.Links != nil && c.Any() {
		x.Links.Changed(target, c)
	}
}
