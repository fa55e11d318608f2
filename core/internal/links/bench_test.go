package links_test

import (
	"fmt"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// BenchmarkSession compares opening a session with and without the look at linked
// buckets, in a project that has none.
func BenchmarkSession(b *testing.B) {
	h := fixture.Open(b, b.TempDir())
	h.CreateProject("1")
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("links=%v", kept), func(b *testing.B) {
			h.Executor.Links = nil
			if kept {
				h.Executor.Links = h.Links
			}
			for b.Loop() {
				s, err := h.Executor.Session(b.Context(), at("1"))
				if err != nil {
					b.Fatal(err)
				}
				s.Close()
			}
		})
	}
	h.Executor.Links = h.Links
	s, err := h.Executor.Session(b.Context(), at("1"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			if h.Links.Update(b.Context(), at("1"), s) {
				b.Fatal("apart")
			}
		}
	})
}

// BenchmarkLookup finds one name among 5000 tables, and lists them.
func BenchmarkLookup(b *testing.B) {
	h := fixture.Open(b, b.TempDir())
	h.CreateProject("1")
	s, err := h.Executor.Session(b.Context(), at("1"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	err = s.Transaction(func() error {
		for i := range 5000 {
			if _, err := s.Exec(sql.New("CREATE TABLE ? (a INTEGER, b VARCHAR, c VARCHAR, d VARCHAR)", sql.Table{Schema: "main", Name: fmt.Sprintf("t%d", i)})); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Lookup("project_1_main", "main", "t4999"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.HasRows(sql.New("SELECT 1 FROM duckdb_tables() WHERE table_name = 't4999'")); err != nil {
				b.Fatal(err)
			}
		}
	})
}
