package gate

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

const (
	// maxSize bounds what DuckDB makes of a statement, in tokens beyond those that it has.
	// `1 AS a, a + a AS b, …` in 13 steps has 16,000 and takes 0.6 s to bind, which
	// nothing interrupts; each step more doubles both (measured, 1.5.6).
	maxSize = 50_000
	// maxGenerated bounds likewise the columns of a table that are computed: a statement
	// may name them many times.
	maxGenerated = 1_000
	// endless is as large as a size gets.
	endless = 1 << 40
)

// Macro is what DuckDB puts in the place of a call: Base tokens and Factor times those of
// the arguments.
type Macro struct{ Base, Factor int }

// Macros are macros by their names in lower case, whatever schema they are in. Of
// several with one name the largest counts.
type Macros map[string]Macro

// Add adds a macro by its definition. Those that it calls have been added.
func (m Macros) Add(name string, parameters []string, definition Statement) {
	const much = 1000
	size := func(larger string) int {
		s := sizer{tokens: definition.tokens, macros: m}
		return s.walk(&scope{sizes: map[string]int{strings.ToLower(larger): much}}, 0)
	}
	known := m[strings.ToLower(name)]
	out := Macro{Base: max(known.Base, size("")), Factor: max(known.Factor, 1)}
	for _, p := range parameters {
		out.Factor = max(out.Factor, (size(p)-size(""))/(much-1))
	}
	if out.Base >= endless {
		out.Factor = endless
	}
	m[strings.ToLower(name)] = out
}

// Calls are the names in lower case that stand before a bracket, functions and macros
// among them.
func (s Statement) Calls() (out []string) {
	for i, t := range s.tokens {
		if i > 0 && t.Symbol("(") && s.tokens[i-1].Name() {
			out = append(out, strings.ToLower(s.tokens[i-1].Value))
		}
	}
	return out
}

// Stored reads what DuckDB has stored of a view or of a macro: what it calls, and which
// tables it names. Nothing is refused.
func Stored(text string) (Statement, error) {
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return Statement{}, err
	}
	j := judge{tokens: tokens}
	_ = j.checkPlaces() // it was made by somebody who might
	return Statement{tokens: tokens, Tables: j.tables}, nil
}

// Macro returns the parameters and the definition of a macro that is created. Several
// forms of it count as one.
func (s Statement) Macro() (parameters []string, definition string, ok bool) {
	if s.Definition.Verb != "CREATE" || s.Definition.Kind != "MACRO" {
		return nil, "", false
	}
	rest := body(s.tokens)
	for i, t := range s.tokens[:len(s.tokens)-len(rest)] {
		if t.Name() && (s.tokens[i-min(i, 1)].Symbol("(") || s.tokens[i-min(i, 1)].Symbol(",")) {
			parameters = append(parameters, t.Value)
		}
	}
	if len(rest) > 0 && rest[0].Is("table") {
		rest = rest[1:]
	}
	return parameters, sqltext.Render(rest), true
}

// CheckSize returns ErrSQL for a statement of which DuckDB would make something very much
// larger, by names that stand for expressions: aliases of columns, queries of a WITH,
// macros, and constructs that have a part of theirs twice. It is an estimate. A name that
// stands for nothing counts as one token.
func (s Statement) CheckSize(macros Macros) error {
	z := sizer{tokens: s.tokens, macros: macros, generated: s.Definition.Verb == "CREATE" && s.Definition.Kind == "TABLE"}
	if z.walk(nil, 0)-len(s.tokens) > maxSize || z.columns > maxGenerated {
		return sdk.ErrSQL.Errorf("the statement names expressions inside of each other so often that it would become too large; make a table of a part of it")
	}
	return nil
}

// sizer walks through a statement once.
type sizer struct {
	tokens    []sqltext.Token
	at        int
	macros    Macros
	ctes      map[string]int
	generated bool // the first brackets have the columns of a table
	columns   int  // the largest of those
}

// walk returns the size of what stands up to the end of a bracket, or of a CASE. aliases are
// those that are known in it; depth is 0 outside of brackets.
func (s *sizer) walk(aliases *scope, depth int) int {
	g := &span{known: aliases, aliases: aliases, from: s.at}
	isCase := s.token(s.at - 1).Is("case")
	g.columns = s.generated && depth == 1 && !s.token(s.at-2).Is("as")
	for ; s.at < len(s.tokens); s.at++ {
		i := s.at
		t := s.tokens[i]
		if closes(t) && (depth > 0 || isCase) || isCase && s.plain(i) && t.Is("end") {
			break
		}
		switch {
		case opens(t):
			s.at++
			content := s.walk(g.visible(s.token(i+1)), depth+1)
			g.add(s.call(g, i, content), s.continues(i))
		case s.plain(i) && t.Is("case"):
			s.at++
			g.add(s.walk(g.aliases, depth), false)
			if closes(s.token(s.at)) {
				s.at-- // the CASE has no end
			}
		case (s.plain(i) || t.Is("select") && !g.selects) && s.keyword(g, i, isCase):
		case t.Symbol(","):
			g.endItem(s.tokens, i)
		default:
			g.add(s.name(g, i), s.token(i-1).Symbol(".") || t.Symbol("."))
		}
	}
	g.endItem(s.tokens, min(s.at, len(s.tokens)))
	s.columns = max(s.columns, g.largest)
	return g.total
}

// plain reports whether the token at i is a word that is not there as a name.
func (s *sizer) plain(i int) bool {
	return s.tokens[i].Kind == sqltext.Word && !s.token(i-1).Symbol(".") && !s.token(i-1).Is("as")
}

func opens(t sqltext.Token) bool  { return t.Symbol("(") || t.Symbol("[") || t.Symbol("{") }
func closes(t sqltext.Token) bool { return t.Symbol(")") || t.Symbol("]") || t.Symbol("}") }

func (s *sizer) token(i int) sqltext.Token {
	if i < 0 || i >= len(s.tokens) {
		return sqltext.Token{}
	}
	return s.tokens[i]
}

// continues reports whether the bracket at i belongs to what is before it.
func (s *sizer) continues(i int) bool {
	before := s.token(i - 1)
	return before.Name() || closes(before)
}

// name is the size of a token that is no keyword of interest.
func (s *sizer) name(g *span, i int) int {
	t, before := s.tokens[i], s.token(i-1)
	if !t.Name() || before.Symbol(".") || before.Is("as") {
		return 1
	}
	name := strings.ToLower(t.Value)
	if n, ok := s.ctes[name]; ok && !s.token(i+1).Symbol(".") && (before.IsOne("from", "join", "table", "lateral") || before.Symbol(",") || before.Symbol("(")) {
		return n
	}
	return max(1, g.aliases.size(name))
}

// call is the size of the brackets at i, with their content, after what is before them.
func (s *sizer) call(g *span, i, content int) int {
	s.query(i, content)
	name := s.token(i - 1)
	if !s.tokens[i].Symbol("(") || !name.Name() {
		return content
	}
	m, ok := s.macros[strings.ToLower(name.Value)]
	if !ok {
		return content
	}
	if s.token(i - 2).Symbol(".") { // what is before the dot may be its first argument
		content = sum(content, g.operand)
	}
	return sum(m.Base, product(m.Factor, content))
}

// query notes the query of a WITH, whose brackets are at i. DuckDB makes most of them
// once, and repeats only the columns.
func (s *sizer) query(i, content int) {
	n, size := i-1, 0
	if s.token(n).Is("materialized") {
		n--
		if s.token(n).Is("not") {
			n--
			size = content
		}
	}
	if !s.token(n).Is("as") || !s.token(i+1).IsOne("select", "from", "with", "values", "table") {
		return
	}
	for n--; !s.token(n).Name() && s.token(n).Kind != 0; { // names of columns
		n--
		if s.token(n + 1).Symbol(")") {
			for !s.token(n).Symbol("(") && s.token(n).Kind != 0 {
				n--
			}
			n--
		}
	}
	if s.ctes == nil {
		s.ctes = map[string]int{}
	}
	s.ctes[strings.ToLower(s.token(n).Value)] = max(1, size, s.stars(s.tokens[i+1:min(s.at, len(s.tokens))]))
}

// stars is how many tables have all their columns in a query, if it names no columns.
func (s *sizer) stars(query []sqltext.Token) (n int) {
	all := len(query) > 0 && query[0].IsOne("from", "table")
	for i, t := range query {
		all = all || t.Symbol("*") && i > 0 && (query[i-1].IsOne("select", "distinct", "all") || query[i-1].Symbol(",") || query[i-1].Symbol(".") || i > 1 && query[i-2].Is("columns"))
		if t.Name() && i > 0 && (query[i-1].IsOne("from", "join") || query[i-1].Symbol(",")) {
			n = sum(n, s.ctes[strings.ToLower(t.Value)])
		}
	}
	if !all {
		return 0
	}
	return n
}

// keyword looks at a word that changes how what follows counts, and reports whether it
// is one.
func (s *sizer) keyword(g *span, i int, isCase bool) bool {
	t := s.tokens[i]
	switch {
	case t.Is("select"):
		g.endItem(s.tokens, i)
		g.aliases, g.selects, g.listing = g.known, true, true
	case t.Is("from") && g.listing && !distinct(s.tokens, i):
		g.endItem(s.tokens, i)
		g.listing = false
	case t.Is("when") && isCase:
		if !g.when {
			g.when, g.subject = true, g.total
		}
		g.add(g.subject, false)
	case t.Is("between"):
		g.add(g.part, false)
	case t.IsOne("and", "or", "where", "on", "by", "having", "qualify", "then", "else", "when"):
	default:
		return false
	}
	g.add(1, false)
	g.part = 0
	return true
}

// distinct reports whether the FROM at i is of IS [NOT] DISTINCT FROM.
func distinct(tokens []sqltext.Token, i int) bool {
	return i > 1 && tokens[i-1].Is("distinct") && tokens[i-2].IsOne("is", "not")
}

// span is what stands inside of a bracket, outside of others in it.
type span struct {
	known, aliases *scope // at its beginning, and now
	selects        bool   // a SELECT was there
	listing        bool   // in its list
	columns        bool   // of a table that is made
	largest        int    // of those that are computed
	when           bool   // a WHEN was there
	subject        int    // of a CASE that compares one thing
	// total, and of that: since the last comma, since the last word that ends a
	// condition, and of the last operand.
	total, item, part, operand int
	from                       int // index of the first token of the item
}

// visible are the aliases that a bracket knows which begins with a token. A query does
// not know those of a query whose FROM it is in.
func (g *span) visible(first sqltext.Token) *scope {
	if g.selects && !g.listing && first.IsOne("select", "from", "with", "values") {
		return g.known
	}
	return g.aliases
}

func (g *span) add(n int, continues bool) {
	g.total, g.item, g.part = sum(g.total, n), sum(g.item, n), sum(g.part, n)
	if continues {
		n = sum(n, g.operand)
	}
	g.operand = n
}

// endItem ends the part of a list that is before the token at end.
func (g *span) endItem(tokens []sqltext.Token, end int) {
	item := tokens[min(g.from, end):end]
	switch {
	case len(item) < 2 || !g.listing && !g.columns:
	case g.columns:
		if computed(item) {
			g.largest = max(g.largest, g.item)
			g.alias(item[0], g.item)
		}
	case item[1].Symbol(":"):
		g.alias(item[0], g.item)
	default:
		g.alias(item[len(item)-1], g.item)
	}
	g.item, g.part, g.operand, g.from = 0, 0, 0, end+1
}

func computed(column []sqltext.Token) bool {
	for i, t := range column[1:] {
		if t.Symbol("(") && column[i].Is("as") {
			return true
		}
	}
	return false
}

func (g *span) alias(t sqltext.Token, size int) {
	if !t.Name() && t.Kind != sqltext.String { // AS 'a' is a name, too
		return
	}
	if g.aliases == g.known {
		g.aliases = &scope{up: g.known, sizes: map[string]int{}}
	}
	g.aliases.sizes[strings.ToLower(t.Value)] = size
}

// scope are names that stand for something, with their sizes, inside of others.
type scope struct {
	up    *scope
	sizes map[string]int
}

// size is 0 for a name that stands for nothing.
func (s *scope) size(name string) int {
	for ; s != nil; s = s.up {
		if n, ok := s.sizes[name]; ok {
			return n
		}
	}
	return 0
}

func sum(a, b int) int { return min(a+b, endless) }

// product does not overflow: neither is more than endless.
func product(a, b int) int {
	if b > 0 && a > endless/b {
		return endless
	}
	return a * b
}
