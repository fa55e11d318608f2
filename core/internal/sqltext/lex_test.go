package sqltext_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

var kinds = map[sqltext.Kind]string{
	sqltext.Word: "w", sqltext.Quoted: "q", sqltext.String: "s", sqltext.Number: "n", sqltext.Parameter: "p", sqltext.Symbol: "",
}

// list writes tokens as kind:value, with a _ before those behind a gap.
func list(tokens []sqltext.Token) string {
	out := make([]string, len(tokens))
	for i, t := range tokens {
		out[i] = kinds[t.Kind] + ":" + t.Value
		if t.Gap {
			out[i] = "_" + out[i]
		}
	}
	return strings.Join(out, " ")
}

func TestLex(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, tokens, rendered string }{
		{"", "", ""},
		{" \t\r\n\f -- x", "", ""},
		{"SELECT a.b", "w:SELECT _w:a :. w:b", "SELECT a . b"},
		{`"a""b".c`, `q:a"b :. w:c`, `"a""b" . c`},
		{"'it''s'", "s:it's", "'it''s'"},
		{`E'\'\n\x41\101\u010d\U0001F600'`, "s:'\nAA\u010d\U0001F600", "'''\nAA\u010d\U0001F600'"},
		{"'a' -- b\n'c'", "s:ac", "'ac'"},
		{"'a' 'c'", "s:a _s:c", "'a' 'c'"},
		{"$x$a'$$ $x$$$$$", "s:a'$$  s:", "'a''$$ ' ''"},
		{"X'0A'b'1'", "s:0A s:1", "X'0A' b'1'"},
		{"a$b$c", "w:a$b$c", `"a$b$c"`},
		{"1..2 1.5e3 .5 1_0 1e x", "n:1 :.. n:2 _n:1.5e3 _n:.5 _n:1_0 _n:1 w:e _w:x", "1 .. 2 1.5e3 .5 1_0 1 e x"},
		{"? ?1 $2 $name", "p:? _p:?1 _p:$2 _p:$name", "? ?1 $2 $name"},
		{"a::b->>c=-1", "w:a ::: w:b :->> w:c := :- n:1", "a :: b ->> c = - 1"},
		{"a/* /* */ ' */b", "w:a _w:b", "a b"},
		{"a--b\rc", "w:a _w:c", "a c"},
		{"a\u00a0b\ufeff", "w:a _w:b", "a b"},
		{"a+/*x*/b*--c\nd", "w:a :+ _w:b :* _w:d", "a + b * d"},
	} {
		tokens, err := sqltext.Lex(tc.text)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		if diff := cmp.Diff(tc.tokens, list(tokens)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.text, diff)
		}
		if got := sqltext.Render(tokens); got != tc.rendered {
			t.Errorf("%q is rendered as %q, want %q", tc.text, got, tc.rendered)
		}
	}
}

func TestLexRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"'a", `"a`, "/* a", "/* /* a */", "$$a", "$x$a$$", "E'a\\", "E'\\'", "'a'\n'b", "a\x00b", "\xff", `U&"a"`, "u&'a'", "X'0g'", "X'00", "B'2'", "$", "$ a", "`\\`", "\\", "a\x01",
		`E'\0'`, `E'\xff'`, `E'\u12'`, `E'\ud83d'`, `E'\ud83dx'`, `E'\U00110000'`, `E'\UFFFFFFFF'`, `E'\u0000'`, `E'\udc00\ud83d'`,
	} {
		if tokens, err := sqltext.Lex(text); !errors.Is(err, sdk.ErrSQL) {
			t.Errorf("%q: %v, %s", text, err, list(tokens))
		}
	}
}

func TestDefine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text, verb, kind, name, in string
		temporary                  bool
	}{
		{"SELECT 1", "", "", "", "", false},
		{"CREATE", "", "", "", "", false},
		{`create table "in.c-main".t (a int)`, "CREATE", "TABLE", "in.c-main|t", "in.c-main", false},
		{"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "CREATE", "VIEW", "v", "main", true},
		{"CREATE TABLE IF NOT EXISTS p.s.t AS SELECT 1", "CREATE", "TABLE", "p|s|t", "s", false},
		{"CREATE UNIQUE INDEX i ON s.t (a)", "CREATE", "INDEX", "s|t", "s", false},
		{"DROP INDEX s.i", "DROP", "INDEX", "s|i", "s", false},
		{"CREATE SCHEMA x", "CREATE", "SCHEMA", "x", "x", false},
		{"DROP SCHEMA IF EXISTS c.x CASCADE", "DROP", "SCHEMA", "c|x", "x", false},
		{"CREATE FUNCTION s.f(a) AS a", "CREATE", "MACRO", "s|f", "s", false},
		{"DROP MACRO TABLE s.f", "DROP", "MACRO", "s|f", "s", false},
		{"ALTER TABLE IF EXISTS s.t RENAME TO u", "ALTER", "TABLE", "s|t", "s", false},
		{"CREATE RECURSIVE VIEW v (n) AS SELECT 1", "CREATE", "VIEW", "v", "main", false},
		{"CREATE SECRET x (TYPE s3)", "CREATE", "SECRET", "x", "main", false},
		{`DROP "TABLE" x`, "", "", "", "", false},
	} {
		tokens, err := sqltext.Lex(tc.text)
		if err != nil {
			t.Fatal(err)
		}
		d, ok := sqltext.Define(tokens)
		if !ok {
			if tc.verb != "" {
				t.Errorf("%s is no definition", tc.text)
			}
			continue
		}
		got := []any{d.Verb, d.Kind, strings.Join(d.Name, "|"), d.In(), d.Temporary}
		if diff := cmp.Diff([]any{tc.verb, tc.kind, tc.name, tc.in, tc.temporary}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.text, diff)
		}
	}
	tokens, err := sqltext.Lex(`ALTER TABLE t ADD COLUMN "é" INT`)
	if err != nil {
		t.Fatal(err)
	}
	d, _ := sqltext.Define(tokens)
	if diff := cmp.Diff([]string{"ALTER", "TABLE", "t", "ADD", "COLUMN", "é", "INT"}, d.Names); diff != "" {
		t.Error(diff)
	}
}
