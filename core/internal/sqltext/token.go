// Package sqltext takes SQL apart into the tokens that DuckDB sees in it, and puts
// tokens together again. Start with [Lex].
//
// It is for those who must know what a statement of somebody else names before DuckDB
// sees it: a PRAGMA runs while it is parsed, and preparing a statement opens the files
// that it names. Such a judge works on tokens and runs [Render] of them, and never the
// text that came. Rendered text has no comments, one blank between any two tokens and
// plain quotes only, so that there is one way to read it: a trick that makes two readers
// of one text disagree makes them agree here, on what was judged.
//
// The rules are those of the scanner of DuckDB 1.5.6, which is PostgreSQL's with
// changes; a fuzz test compares with DuckDB itself. What the scanner or this package
// cannot read is refused with ErrSQL: quotes and comments that do not end, NUL,
// names and strings with U&.
//
// Not promised: that tokens are a statement. There is no grammar here.
package sqltext

import (
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
)

// Kind is what a token is.
type Kind int

// The kinds of tokens.
const (
	Word      Kind = iota + 1 // a keyword, or a name without quotes
	Quoted                    // "a name"
	String                    // 'text', E'text', $$text$$; X'00' and B'01' keep their letter
	Number                    // 1, 1_000, 1.5e3
	Parameter                 // ?, ?1, $1, $name
	Symbol                    // punctuation and operators
)

// Token is a piece of SQL.
type Token struct {
	Kind Kind
	Text string // as written, without what is between it and its neighbours
	// Value is a name without its quotes, or a string without quotes and escapes. Of
	// any other token it is the text.
	Value string
	Gap   bool // a blank or a comment comes before
}

// Is reports whether the token is a word without quotes, in any case. A keyword is
// nothing else.
func (t Token) Is(word string) bool { return t.Kind == Word && strings.EqualFold(t.Text, word) }

// IsOne reports whether the token is one of some words without quotes, in any case.
func (t Token) IsOne(words ...string) bool {
	for _, w := range words {
		if t.Is(w) {
			return true
		}
	}
	return false
}

// Symbol reports whether the token is a certain symbol.
func (t Token) Symbol(text string) bool { return t.Kind == Symbol && t.Text == text }

// Name reports whether the token may be a name: keywords are among them.
func (t Token) Name() bool { return t.Kind == Word || t.Kind == Quoted }

// Render writes tokens as SQL that only one reading is possible of. It means what
// the text means that they were read from, and reading it gives the same kinds and
// values.
func Render(tokens []Token) string {
	var b strings.Builder
	for i, t := range tokens {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.render())
	}
	return b.String()
}

func (t Token) render() string {
	switch {
	case t.Kind == Quoted, t.Kind == Word && strings.Contains(t.Text, "$"):
		// DuckDB looks for blanks beyond ASCII before it scans, and takes the a$b$ of a
		// name for the beginning of a string.
		return quote(t.Value, '"')
	case t.Kind == String && prefixed(t.Text):
		return t.Text
	case t.Kind == String:
		return quote(t.Value, '\'')
	default:
		return t.Text
	}
}

// prefixed reports whether a string is of bytes or bits.
func prefixed(text string) bool { return strings.ContainsRune("xXbB", rune(text[0])) }

func quote(text string, mark byte) string {
	m := string(mark)
	return m + strings.ReplaceAll(text, m, m+m) + m
}

func refuse(format string, args ...any) error {
	return sdk.ErrSQL.Errorf(format, args...)
}
