package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

// DuckDB takes a text in the place of a table for the name of a file, and so a name of
// no table: it opens the file when it prepares the statement. So places of tables are
// found here: behind FROM, JOIN and the like, and behind each comma that follows there.
// Where it is not sure, a name counts as a table's.

// place is what stands inside of one pair of brackets.
type place int

const (
	expressions place = iota // values; a comma is followed by another
	relations                // tables; a comma is followed by another
	conditions               // of a join: a comma is followed by a table
	rows                     // of VALUES: a comma is followed by another, or by a table
)

// frame is an open bracket.
type frame struct {
	place place
	fresh bool   // the name of a table may come next
	call  string // the function whose arguments these are
	first bool   // nothing has come yet
}

var (
	// opening are reserved words behind which a table is named.
	opening = set("from join using into update table describe show summarize pivot unpivot pivot_wider pivot_longer")
	// closing are reserved words that end a list of tables.
	closing = set("select where group having qualify window order limit offset union except intersect returning")
	// fromArguments are functions with a FROM between their arguments.
	fromArguments = set("extract trim substring overlay position")
)

// checkPlaces walks through the statement with the places that are open.
func (j *judge) checkPlaces() error {
	frames := []frame{{first: true}}
	for i := 0; i < len(j.tokens); i++ {
		f := &frames[len(frames)-1]
		switch t := j.tokens[i]; t.Text {
		case "(":
			frames = append(frames, j.open(f, i))
			continue
		case "[", "{":
			f.fresh = false
			frames = append(frames, frame{first: true})
			continue
		case ")", "]", "}":
			if t.Kind == sqltext.Symbol && len(frames) > 1 {
				frames = frames[:len(frames)-1]
				frames[len(frames)-1].fresh = false
				continue
			}
		}
		end, err := j.step(f, i)
		if err != nil {
			return err
		}
		f.first = false
		i = end
	}
	return nil
}

// open is the frame of the bracket at i.
func (j *judge) open(f *frame, i int) frame {
	inner := frame{first: true}
	if f.fresh {
		inner.place, inner.fresh = relations, true
	} else if j.at(i - 1).Name() {
		inner.call = strings.ToLower(j.at(i - 1).Value)
	}
	f.fresh, f.first = false, false
	return inner
}

// step looks at the token at i and returns the last one that it took.
func (j *judge) step(f *frame, i int) (end int, err error) {
	t := j.tokens[i]
	if t.Symbol(",") {
		f.comma(j.at(i + 1))
		return i, nil
	}
	// Behind a dot, any word is a name.
	if t.Kind == sqltext.Word && !j.at(i-1).Symbol(".") {
		known, err := j.keyword(f, i)
		if known || err != nil {
			return i, err
		}
	}
	if f.place == rows && t.Name() {
		f.place = relations // an alias: what follows are tables
	}
	if !f.fresh {
		return i, nil
	}
	f.fresh = false
	switch {
	case t.Kind == sqltext.String:
		return i, errFile
	case t.Name():
		return j.table(i)
	}
	return i, nil
}

// comma begins the next thing of a list.
func (f *frame) comma(next sqltext.Token) {
	switch {
	case f.place == rows && next.Symbol("("):
	case f.place != expressions:
		f.place, f.fresh = relations, true
	}
}

// keyword lets a reserved word change the place.
func (j *judge) keyword(f *frame, i int) (known bool, err error) {
	word := strings.ToLower(j.tokens[i].Text)
	switch {
	case word == "desc" && !f.first && !j.at(i-1).Is("as"): // ORDER BY x DESC
		return true, nil
	case word == "from" && (f.place == expressions && !f.first && fromArguments[f.call] || j.isDistinct(i)):
		return true, nil
	case word == "describe", word == "desc", word == "show", word == "summarize":
		f.place, f.fresh = relations, true
		return true, j.show(i)
	case opening[word]:
		f.place, f.fresh = relations, true
	case closing[word]:
		f.place, f.fresh = expressions, false
	case word == "on" && f.place == relations:
		f.place, f.fresh = conditions, false
	case word == "values" && (f.fresh || f.first || f.place == expressions || j.inserts()):
		f.place, f.fresh = rows, false
	case word == "lateral" && f.fresh:
	default:
		return false, nil
	}
	return true, nil
}

// isDistinct reports whether the FROM at i is of IS [NOT] DISTINCT FROM.
func (j *judge) isDistinct(i int) bool {
	return j.at(i-1).Is("distinct") && (j.at(i-2).Is("is") || j.at(i-2).Is("not") && j.at(i-3).Is("is"))
}

func (j *judge) inserts() bool { return j.tokens[0].IsOne("insert", "merge", "with") }

var errFile = sdk.ErrDenied.Errorf("a text stands in the place of a table; SQL reads no files: import a file into a table first")

// table looks at the name of a table, which begins at i, and returns its last token.
func (j *judge) table(i int) (end int, err error) {
	parts := sqltext.Qualified(j.tokens[i:])
	j.tables = append(j.tables, parts)
	end = i + 2*len(parts) - 2
	for n, p := range parts {
		if strings.Contains(p, "/") {
			return end, sdk.ErrDenied.Errorf("%q is the name of no table; SQL reads no files: import a file into a table first", p)
		}
		if n < len(parts)-1 && instances[strings.ToLower(p)] && n == 0 {
			return end, errInstance(p)
		}
	}
	if name := strings.ToLower(parts[len(parts)-1]); j.at(end+1).Symbol("(") && inTables[name] && !j.declared(end) {
		return end, errFunction(name)
	}
	return end, j.list(parts, i, end+1)
}

// show looks at a SHOW, DESCRIBE or SUMMARIZE that lists the catalog.
func (j *judge) show(i int) error {
	next, after := j.at(i+1), j.at(i+2)
	ends := func(t sqltext.Token) bool { return t.Kind == 0 || t.Symbol(")") }
	switch {
	case ends(next):
		j.lists = append(j.lists, listing{from: i, to: i + 1, view: "show all tables", query: true})
	case next.Is("all") && after.Is("tables"):
		j.lists = append(j.lists, listing{from: i, to: i + 3, view: "show all tables", query: true})
	case next.IsOne("all") && ends(after):
		j.lists = append(j.lists, listing{from: i, to: i + 2, view: "show all tables", query: true})
	case next.IsOne("databases", "schemas") && ends(after):
		j.lists = append(j.lists, listing{from: i, to: i + 2, view: "show " + strings.ToLower(next.Text), query: true})
	case next.Is("variables") && ends(after):
		return sdk.ErrDenied.Errorf("a statement has no variables; give it values in params")
	case next.Is("tables"):
		j.lists = append(j.lists, listing{plain: true}) // of the schema main, or of one that is named
	}
	return nil
}
