package sql_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, name, literal string }{
		{"", `""`, `''`},
		{"orders", `"orders"`, `'orders'`},
		{"ORDERS", `"ORDERS"`, `'ORDERS'`},
		{"in.c-main", `"in.c-main"`, `'in.c-main'`},
		{"select", `"select"`, `'select'`},
		{`"`, `""""`, `'"'`},
		{`""`, `""""""`, `'""'`},
		{`'`, `"'"`, `''''`},
		{`a"b'c`, `"a""b'c"`, `'a"b''c'`},
		{`\`, `"\"`, `'\'`},
		{`\'`, `"\'"`, `'\'''`},
		{`a\"b`, `"a\""b"`, `'a\"b'`},
		{"?", `"?"`, `'?'`},
		{"$1", `"$1"`, `'$1'`},
		{"-- x", `"-- x"`, `'-- x'`},
		{"/* x", `"/* x"`, `'/* x'`},
		{"a\nb", "\"a\nb\"", "'a\nb'"},
		{"a\x00b", "\"a\uFFFDb\"", "'a\uFFFDb'"},
		{"\x00\"\x00'", "\"\uFFFD\"\"\uFFFD'\"", "'\uFFFD\"\uFFFD'''"},
		{"č字🦆", `"č字🦆"`, `'č字🦆'`},
		{"e\u0301", "\"e\u0301\"", "'e\u0301'"},
		{"\u201d\u2019\uff02\uff07", "\"\u201d\u2019\uff02\uff07\"", "'\u201d\u2019\uff02\uff07'"}, // quotes only to the eye
		{"\xff\"", "\"\xff\"\"\"", "'\xff\"'"},
	} {
		if got := sql.New("?", sql.Name(tt.text)).SQL(); got != tt.name {
			t.Errorf("the name %q becomes %s, want %s", tt.text, got, tt.name)
		}
		if got := sql.New("?", sql.Literal(tt.text)).SQL(); got != tt.literal {
			t.Errorf("the literal %q becomes %s, want %s", tt.text, got, tt.literal)
		}
		if got := (sql.Table{Schema: tt.text, Name: tt.text}).String(); got != tt.name+"."+tt.name {
			t.Errorf("the table %q becomes %s", tt.text, got)
		}
	}
}

// token is a piece of SQL: one byte outside of quotes, or all within them.
type token struct {
	quote byte // 0 is none
	text  string
}

// tokens reads SQL as DuckDB does: quotes are doubled inside of themselves,
// backslashes mean nothing, and a NUL ends the input.
func tokens(s string) (out []token, closed bool) {
	for i := 0; i < len(s) && s[i] != 0; i++ {
		quote := s[i]
		if quote != '"' && quote != '\'' {
			out = append(out, token{0, s[i : i+1]})
			continue
		}
		var text []byte
		for i++; ; i++ {
			if i >= len(s) || s[i] == 0 {
				return out, false
			}
			if s[i] == quote {
				if i+1 >= len(s) || s[i+1] != quote {
					break
				}
				i++
			}
			text = append(text, s[i])
		}
		out = append(out, token{quote, string(text)})
	}
	return out, true
}

// FuzzQuote puts any text into each quoted place: what is read back must be one
// name or one literal with that text, and nothing else.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a", `"`, `'`, `""`, `''`, `\`, `\"`, `\'`, "?", "\x00", "a\x00\"b", `"; DROP TABLE t; --`, `'); DROP TABLE t; --`, "字", "\xff\"", "\u2019"} {
		f.Add(seed, "b")
		f.Add("a", seed)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		s := sql.New("?(?)?,?", sql.Name(first), sql.Literal(second), sql.Table{Schema: second, Name: first}, first)
		got, closed := tokens(s.SQL())
		one, two := strings.ReplaceAll(first, "\x00", "\uFFFD"), strings.ReplaceAll(second, "\x00", "\uFFFD")
		want := []token{{'"', one}, {0, "("}, {'\'', two}, {0, ")"}, {'"', two}, {0, "."}, {'"', one}, {0, ","}, {0, "?"}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(token{})); !closed || diff != "" {
			t.Errorf("%s: closed %v (-want +got):\n%s", s.SQL(), closed, diff)
		}
		if diff := cmp.Diff([]any{first}, s.Args()); diff != "" {
			t.Errorf("values (-want +got):\n%s", diff)
		}
	})
}
