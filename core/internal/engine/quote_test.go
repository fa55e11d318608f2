package engine_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// FuzzQuoting gives names and values to a real DuckDB: a name stays one name, a
// literal and a bound value come back as they were, and nothing else happens.
func FuzzQuoting(f *testing.F) {
	for _, seed := range [][2]string{
		{"in.c-main", "plain"}, {`quo"te`, `quo'te`}, {`"`, `'`}, {`""; DROP SCHEMA keep; --`, `'; DROP SCHEMA keep; --`}, {"?", "?"}, {"a?b", "$1"},
		{"žluťoučký", "ěščř\n\r\t"}, {"select", `\'`}, {" ", ""}, {"x/*", "*/"}, {"👩‍👩‍👧", "\u202e"}, {"nul\x00", "nul\x00"}, {"\xff", "\xfe"},
		{strings.Repeat("n", 300), strings.Repeat("'", 300)}, {"A", "a"}, {"$$", "$$x$$"}, {"E'", `E'\x41'`},
	} {
		f.Add(seed[0], seed[1])
	}
	layout := disk.Layout{Root: f.TempDir(), Runtime: f.TempDir()}
	if err := layout.Open(); err != nil {
		f.Fatal(err)
	}
	e := engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, Memory: 500 << 20})
	main := engine.Project(layout, "1", "default")
	if err := e.Create(f.Context(), main); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		if !utf8.ValidString(name) || !utf8.ValidString(value) || strings.ContainsRune(name+value, 0) {
			t.Skip("JSON brings no such text")
		}
		s, err := e.Session(t.Context(), main)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if name == "" {
			name = "x"
		}
		// A temporary table is gone with the session, whatever became of it.
		table := sql.Table{Schema: "temp", Name: name}
		for _, st := range []sql.Statement{
			sql.New("CREATE TEMP TABLE ? (? VARCHAR)", sql.Name(name), sql.Name(name)),
			sql.New("INSERT INTO ? VALUES (?), (?)", table, sql.Literal(value), value),
		} {
			if _, err := s.Exec(st); err != nil {
				t.Fatalf("%s: %v", st.SQL(), err)
			}
		}
		same := 0
		err = s.Scan(sql.New("SELECT ? FROM ?", sql.Name(name), table), func(scan func(...any) error) error {
			var got string
			err := scan(&got)
			if got == value {
				same++
			} else {
				t.Errorf("%q came back as %q", value, got)
			}
			return err
		})
		if err != nil || same != 2 {
			t.Errorf("%d values came back, %v", same, err)
		}
		columns, err := s.Columns(sql.New("FROM ?", table))
		if err != nil || len(columns) != 1 || columns[0].Name != name {
			t.Errorf("%q became %v, %v", name, columns, err)
		}
	})
}
