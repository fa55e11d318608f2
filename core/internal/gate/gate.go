// Package gate judges SQL that a user wrote, before DuckDB sees it. Start with
// [Judge].
//
// In one instance of DuckDB live the catalogs of all projects that are linked, and
// DuckDB has nothing that hides one attached catalog from another. So a statement of a
// project passes through layers, each of which is there for what the others cannot see:
//
//  1. [Judge] reads the statement's tokens. It lets through a list of statements and
//     objects, refuses names that lead to another catalog, to the service's own tables or
//     to files, and functions that reach beyond the data. It is first because DuckDB acts
//     while it parses (PRAGMA) and while it prepares (files are opened then), and because
//     no plan tells of names in views and macros that are only stored.
//  2. What is run is the text that Judge made of the tokens, so that DuckDB reads what was
//     judged.
//  3. What DuckDB would make of it by names that stand for expressions is estimated
//     ([Statement.CheckSize]), because nothing interrupts DuckDB while it binds.
//  4. The engine prepares the text and inspects the plan before it is optimised, in which
//     views and macros are expanded: the functions and the catalogs of all scans.
//  5. A read runs in a read-only transaction, and a write in one that has written to the
//     project's own catalog, after which DuckDB refuses writes to any other.
//  6. What DuckDB says of an error is freed of what is not the project's.
//
// The package knows names and tokens, and no database. It promises that a statement it
// lets through names no other catalog, whether there is one or not, so that the answer
// tells nothing of what exists. It does not promise that the statement is valid.
package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// Metadata is the schema of every catalog that holds the service's own tables.
const Metadata = "__storage"

// Statement is what was judged.
type Statement struct {
	SQL string // to run in place of what came
	// Changes says that it defines something: the statement is a CREATE, ALTER or DROP.
	Changes    bool
	Definition sqltext.Definition
	// Body is the query of a CREATE VIEW, which no plan of the statement shows.
	Body string
	// Lists says that it lists the catalog, through views of the project's part.
	Lists bool
	// Tables are the names of tables and views in it, by their parts, as often as it has
	// them. Some may be names of something else.
	Tables [][]string
	// tokens are what came, without comments.
	tokens []sqltext.Token
}

// Limits of a statement. DuckDB parses and binds by recursion that nothing interrupts:
// they keep it far from the end of its stack and from minutes of binding.
const (
	maxBytes = 1 << 20
	maxDepth = 200
	// maxChain bounds operators that follow each other without a comma or a bracket.
	maxChain = 10_000
	// maxFunctions bounds lambda functions inside of each other: 12 bind within
	// milliseconds, 20 within a second, and each one more takes twice the time of the one
	// before (measured, 1.5.6).
	maxFunctions = 12
	// maxParts bounds the queries of a statement, and likewise the tables. The plan may have
	// each inside of the one before, and printing it takes time and memory by the square:
	// 2,400 queries joined with UNION take 0.75 s, 20,000 take 48 s and 5 GB (measured).
	maxParts = 3_000
)

// Judge decides about SQL of a user with one catalog of its own. It returns ErrSQL for
// what cannot be read or is not exactly one statement, ErrDenied for what may not be run,
// and ErrReservedName for a schema that may not be made.
func Judge(text string, own Names) (Statement, error) {
	if len(text) > maxBytes {
		return Statement{}, sdk.ErrSQL.Errorf("the statement has %d bytes, more than %d; import larger data as a file", len(text), maxBytes)
	}
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return Statement{}, err
	}
	if tokens, err = one(tokens); err != nil {
		return Statement{}, err
	}
	if err := bounded(tokens); err != nil {
		return Statement{}, err
	}
	j := judge{own: own, tokens: tokens}
	j.definition, j.defines = sqltext.Define(tokens)
	for _, check := range []func() error{j.checkNames, j.checkDefinition, j.checkFunctions, j.checkPlaces} {
		if err := check(); err != nil {
			return Statement{}, err
		}
	}
	if len(j.tables) > maxParts {
		return Statement{}, sdk.ErrSQL.Errorf("the statement names more than %d tables", maxParts)
	}
	return j.statement()
}

// judge is a statement that is being judged.
type judge struct {
	own        Names
	tokens     []sqltext.Token
	definition sqltext.Definition
	defines    bool
	// lists are the places where the catalog is listed, in order.
	lists []listing
	// tables are the names in places of tables.
	tables [][]string
}

// statement is what may be run.
func (j *judge) statement() (Statement, error) {
	if j.defines && len(j.lists) > 0 {
		return Statement{}, sdk.ErrDenied.Errorf("a definition may not list the catalog; list it in a SELECT")
	}
	out := Statement{Changes: j.defines, Definition: j.definition, Lists: len(j.lists) > 0, tokens: j.tokens, Tables: j.tables, SQL: sqltext.Render(rewrite(j.tokens, j.lists))}
	if j.defines && j.definition.Verb == "CREATE" && j.definition.Kind == "VIEW" {
		out.Body = sqltext.Render(body(j.tokens))
	}
	return out, nil
}

// body returns what follows the first AS outside of brackets.
func body(tokens []sqltext.Token) []sqltext.Token {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.Symbol("("):
			depth++
		case t.Symbol(")"):
			depth--
		case depth == 0 && t.Is("as"):
			return tokens[i+1:]
		}
	}
	return nil
}

var (
	// allowed are the words that a statement may begin with.
	allowed = set(`select with from values table describe desc show summarize pivot unpivot pivot_wider pivot_longer
		insert update delete merge create alter drop truncate`)
	// others are those of DuckDB's other statements. A word that is in neither is a mistake.
	others = set(`abort analyze attach begin call checkpoint comment commit copy deallocate detach do end execute explain export extensions
		force grant import install load prepare pragma reset revoke rollback set start use vacuum lock listen notify reindex cluster discard declare fetch move close`)
)

// one returns the tokens of the one statement, of a kind that may be run.
func one(tokens []sqltext.Token) ([]sqltext.Token, error) {
	for len(tokens) > 0 && tokens[len(tokens)-1].Symbol(";") {
		tokens = tokens[:len(tokens)-1]
	}
	if len(tokens) == 0 {
		return nil, errOne
	}
	for _, t := range tokens {
		if t.Symbol(";") {
			return nil, errOne
		}
	}
	first := tokens[0]
	switch word := strings.ToLower(first.Text); {
	case first.Symbol("("), first.Kind == sqltext.Word && allowed[word]:
		return tokens, nil
	case first.Kind == sqltext.Word && others[word]:
		return nil, errKind
	}
	return nil, sdk.ErrSQL.Errorf("syntax error at or near %q: a statement begins with SELECT, INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER, DROP or the like", first.Text)
}

var (
	errOne  = sdk.ErrSQL.Errorf("send exactly one statement")
	errKind = sdk.ErrDenied.Errorf("this kind of statement is not allowed; allowed are SELECT, INSERT, UPDATE, DELETE, MERGE, CREATE, ALTER and DROP")
)

// bounded refuses what is nested too deeply. Anything that makes DuckDB recurse counts:
// brackets, operators and words in a row, of which DuckDB builds a tree as deep, and
// functions as arguments, which it binds twice for each one around them.
func bounded(tokens []sqltext.Token) error {
	open, chain, queries := []bracket{{}}, 0, 0
	for i, t := range tokens {
		last := len(open) - 1
		chain++
		switch {
		case t.Symbol("("), t.Symbol("["), t.Symbol("{"):
			open, chain = append(open, bracket{}), 0
			if len(open) > maxDepth {
				return sdk.ErrSQL.Errorf("the statement is nested deeper than %d brackets", maxDepth)
			}
		case (t.Symbol(")") || t.Symbol("]") || t.Symbol("}")) && last > 0:
			open[last-1].functions = max(open[last-1].functions, open[last].depth())
			open = open[:last]
			if open[last-1].functions > maxFunctions {
				return sdk.ErrSQL.Errorf("the statement has more than %d lambda functions inside of each other", maxFunctions)
			}
		case t.Symbol(","):
			chain = 0
		case t.Is("lambda"), t.Is("for"), t.Symbol("->") && i > 0 && tokens[i-1].Kind != sqltext.String:
			open[last].function = true
		case t.IsOne("select", "union", "intersect", "except"):
			queries++
		}
		if queries > 2*maxParts {
			return sdk.ErrSQL.Errorf("the statement has more than %d queries; give rows to VALUES, or use a table", maxParts)
		}
		if chain > maxChain {
			return sdk.ErrSQL.Errorf("the statement has an expression of more than %d parts; use a list, as in x IN (…), or a table", maxChain)
		}
	}
	return nil
}

// bracket is an open bracket.
type bracket struct {
	function  bool // a lambda function is directly in it
	functions int  // inside of each other, in brackets in it
}

// depth is how many functions are inside of each other here.
func (b bracket) depth() int {
	if b.function {
		return b.functions + 1
	}
	return b.functions
}

func set(words string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(words) {
		out[w] = true
	}
	return out
}
