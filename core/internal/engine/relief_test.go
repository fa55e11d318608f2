package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Small writes into many tables fit into little memory. Without Relieve it ends at
// about the 180th.
func TestManySmallTablesFitIntoMemory(t *testing.T) {
	t.Parallel()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	e := engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, Memory: 128 << 20})
	defer e.Close(context.Background())
	main := engine.Project(layout, "1", "default")
	if err := e.Create(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	columns, values := "", ""
	for i := range 20 {
		columns += fmt.Sprintf(", c%d VARCHAR", i)
		values += ", range::VARCHAR"
	}
	const tables = 300
	for i := range tables {
		s, err := e.Session(t.Context(), main)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, s, fmt.Sprintf("CREATE TABLE t%d (%s)", i, columns[2:]), fmt.Sprintf("INSERT INTO t%d SELECT %s FROM range(100)", i, values[2:]))
		s.Relieve()
		s.Close()
	}
	s, err := e.Session(t.Context(), main)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, i := range []int{0, tables - 1} {
		if n, err := s.Objects(sql.Raw(fmt.Sprintf("SELECT count(*)::INTEGER AS n FROM t%d", i)), 1, 100); err != nil || string(n[0]) != `{"n":100}` {
			t.Errorf("table %d has %s, %v", i, n, err)
		}
	}
}

// What one session may do with the order of rows is no other's.
func TestUnordered(t *testing.T) {
	t.Parallel()
	f := open(t)
	s, other := f.session(t), f.session(t)
	if err := s.Unordered(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		s    *engine.Session
		want string
	}{{s, "false"}, {other, "true"}} {
		if ok, err := tc.s.HasRows(sql.New("SELECT 1 WHERE current_setting('preserve_insertion_order')::VARCHAR = ?", tc.want)); err != nil || !ok {
			t.Errorf("the order is not %s: %v", tc.want, err)
		}
	}
}
