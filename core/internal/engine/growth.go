package engine

import (
	"encoding/json"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	// maxViews bounds how many views DuckDB binds for one statement, each as often as it
	// is read. Views that read the one before twice, 13 times over, are 8192 and take
	// 0.6 s, which nothing interrupts (measured, 1.5.6).
	maxViews = 2000
	// fewTables is how many tables a statement may name before anybody looks whether
	// these are views: none of those is more than maxViews.
	fewTables = 10
)

// builtin are the functions of DuckDB.
type builtin struct {
	names  map[string]bool // and words of its grammar
	macros stored
}

// stored are the definitions of macros, by name in lower case.
type stored map[string][]macro

type macro struct {
	parameters []string
	definition string
}

// checkGrowth returns ErrSQL for a statement that DuckDB would make so much larger that to
// bind it takes minutes and gigabytes: nothing interrupts that, and no limit of memory
// counts it. It comes before DuckDB sees the statement.
func (s *Session) checkGrowth(st gate.Statement) error {
	known, err := s.engine.functions(s)
	if err != nil {
		return err
	}
	name := ""
	parameters, definition, makes := st.Macro()
	if makes {
		if name = strings.ToLower(st.Definition.Name[len(st.Definition.Name)-1]); known.names[name] {
			return sdk.ErrDenied.Errorf("%s is a function or a word of DuckDB; give the macro another name", name)
		}
	}
	macros := stored{}
	for _, call := range st.Calls() {
		if !known.names[call] {
			if macros, err = s.macros("NOT internal AND database_name = current_database()", nil); err != nil {
				return err
			}
			break
		}
	}
	if makes {
		macros[name] = []macro{{parameters, definition}}
	}
	sizes := macros.sizes(known.macros)
	if err := st.CheckSize(sizes); err != nil {
		return err
	}
	return s.checkViews(st, sizes)
}

// syntax are words that stand before brackets in the grammar and are not reserved, so
// that DuckDB would take them for names elsewhere.
const syntax = "'by', 'columns', 'cube', 'exclude', 'filter', 'is', 'key', 'map', 'materialized', 'over', 'rename', 'rollup', 'sample', 'set', 'sets', 'struct', 'tablesample', 'try_cast', 'unpack'"

// functions reads the functions of DuckDB once: a list of them takes 20 ms. The words
// that no function can be called like, written as they are, count among them: else
// each coalesce(…), each IN (…) and each subquery would look like a macro of the project.
func (e *Engine) functions(s *Session) (builtin, error) {
	e.mu.Lock()
	known := e.builtin
	e.mu.Unlock()
	if known.names != nil {
		return known, nil
	}
	known.names = map[string]bool{}
	var err error
	known.macros, err = s.macros("database_name = 'system'", known.names)
	if err != nil {
		return builtin{}, err
	}
	words := sql.New("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'column_name') OR keyword_name IN (" + syntax + ")")
	err = s.Scan(words, func(scan func(...any) error) error {
		var word string
		err := scan(&word)
		known.names[word] = true
		return err
	})
	if err != nil {
		return builtin{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.builtin = known
	return known, nil
}

// macros reads definitions of macros, and notes the names of all functions in names
// unless that is nil.
func (s *Session) macros(where string, names map[string]bool) (stored, error) {
	out := stored{}
	st := sql.New("SELECT lower(function_name), to_json(parameters)::VARCHAR, coalesce(macro_definition, '') FROM duckdb_functions() WHERE ?", sql.Raw(where))
	return out, s.Scan(st, func(scan func(...any) error) error {
		var name, parameters string
		var m macro
		if err := scan(&name, &parameters, &m.definition); err != nil {
			return err
		}
		if names != nil {
			names[name] = true
		}
		if m.definition == "" {
			return nil
		}
		out[name] = append(out[name], m)
		return json.Unmarshal([]byte(parameters), &out[name][len(out[name])-1].parameters)
	})
}

// sizes tells what calls become, each after those that it has in itself.
func (s stored) sizes(beside stored) gate.Macros {
	out, done := gate.Macros{}, map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		definitions := s[name]
		if definitions == nil {
			definitions = beside[name]
		}
		for _, m := range definitions {
			st, err := gate.Stored(m.definition)
			if err != nil {
				continue // DuckDB wrote it, and its scanner is not the problem here
			}
			for _, call := range st.Calls() {
				add(call)
			}
			out.Add(name, m.parameters, st)
		}
	}
	for name := range beside {
		add(name)
	}
	for name := range s {
		add(name)
	}
	return out
}

// place is where a view is: catalog, schema and name, in lower case.
type place [3]string

// views are the views of a cell, with what they read.
type views map[place]gate.Statement

// checkViews bounds the views that a statement reads, and when it defines something, the
// views that read that.
func (s *Session) checkViews(st gate.Statement, sizes gate.Macros) error {
	defines := st.Definition.Verb == "CREATE" && (st.Definition.Kind == "VIEW" || st.Definition.Kind == "MACRO")
	if !defines {
		if few, err := s.fewViews(st); few || err != nil {
			return err
		}
	}
	all, err := s.views()
	if err != nil {
		return err
	}
	own := place{strings.ToLower(s.Alias()), "main", ""}
	if st.Definition.Kind != "VIEW" || !defines {
		if all.count(st, own, map[place]int{}) > maxViews {
			return errViews
		}
		for at, v := range all {
			if defines && at[0] == own[0] && v.CheckSize(sizes) != nil {
				return sdk.ErrSQL.Errorf("the view %s.%s calls the macro, and would become too large", at[1], at[2])
			}
		}
		return nil
	}
	at := own
	copy(at[3-min(len(st.Definition.Name), 3):], lower(st.Definition.Name))
	before := map[place]int{}
	for v := range all {
		all.view(v, before)
	}
	all[at] = st
	after := map[place]int{}
	for v := range all {
		if v[0] == own[0] && all.view(v, after) > maxViews && before[v] <= maxViews {
			return errViews
		}
	}
	return nil
}

var errViews = sdk.ErrSQL.Errorf("the statement reads more than %d views, counting those inside of views; make a table of one that is read often", maxViews)

// fewViews reports whether a statement reads so few views that nobody has to count.
func (s *Session) fewViews(st gate.Statement) (bool, error) {
	if len(st.Tables) <= fewTables {
		return true, nil
	}
	asked := map[place]bool{}
	for _, parts := range st.Tables {
		at := resolve(parts, place{strings.ToLower(s.Alias()), "main"})
		if asked[at] {
			continue
		}
		asked[at] = true
		kind, err := s.Lookup(at[0], at[1], at[2])
		if err != nil || kind == View {
			return false, err
		}
	}
	return true, nil
}

// views reads the views of all catalogs of the cell: those of a linked bucket read others.
func (s *Session) views() (views, error) {
	out := views{}
	st := sql.New("SELECT lower(database_name), lower(schema_name), lower(view_name), sql FROM duckdb_views() WHERE NOT internal AND NOT database_name IN ('memory', 'system', 'temp')")
	return out, s.Scan(st, func(scan func(...any) error) error {
		var at place
		var text string
		if err := scan(&at[0], &at[1], &at[2], &text); err != nil {
			return err
		}
		if v, err := gate.Stored(text); err == nil { // as with macros
			out[at] = v
		}
		return nil
	})
}

// count is how many views a statement reads that is in a schema.
func (v views) count(st gate.Statement, in place, known map[place]int) (n int) {
	for _, parts := range st.Tables {
		at := resolve(parts, in)
		if _, ok := v[at]; !ok && len(parts) == 1 {
			at[1] = "main"
		}
		if n += v.view(at, known); n > maxViews {
			return maxViews + 1
		}
	}
	return n
}

// view counts a view with those that it reads; what is no view is none.
func (v views) view(at place, known map[place]int) int {
	st, ok := v[at]
	if !ok {
		return 0
	}
	if n, ok := known[at]; ok {
		return n
	}
	known[at] = 1 // of one that reads itself
	known[at] = 1 + v.count(st, at, known)
	return known[at]
}

// resolve says where a name is that is used in a schema.
func resolve(parts []string, in place) place {
	out := in
	parts = lower(parts[max(0, len(parts)-3):])
	copy(out[3-len(parts):], parts)
	return out
}

func lower(parts []string) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = strings.ToLower(p)
	}
	return out
}
