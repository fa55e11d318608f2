package engine_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// copyChild names the data directory to a child of TestCopySurvivesKills.
const copyChild = "ENGINE_TEST_COPY_CHILD"

// TestCopyChild writes and copies by turns until it is killed: the copy of number n
// is made when the table has n thousand rows.
func TestCopyChild(t *testing.T) {
	root := os.Getenv(copyChild)
	if root == "" {
		t.Skip("a part of TestCopySurvivesKills")
	}
	p := reopenProjects(t, root)
	for n := p.thousands(t, "main") + 1; ; n++ {
		if err := p.exec(t.Context(), "main", "INSERT INTO t SELECT 1 FROM range(1000)"); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stderr, "written %d\n", n)
		if err := p.Copy(t.Context(), p.catalog("main"), p.catalog(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stderr, "copied %d\n", n)
	}
}

func reopenProjects(t *testing.T, root string) projects {
	t.Helper()
	layout := disk.Layout{Root: root, Runtime: filepath.Join(root, "run")}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	return projects{engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1}), layout}
}

// thousands counts the rows of a project, which come by the thousand.
func (p projects) thousands(t *testing.T, id string) int {
	t.Helper()
	s, err := p.Session(t.Context(), p.catalog(id))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows := 0
	if err := s.Scan(sql.New("SELECT count(*) FROM t"), func(scan func(...any) error) error { return scan(&rows) }); err != nil {
		t.Fatal(err)
	}
	if rows%1000 != 0 {
		t.Errorf("project %s has %d rows, a part of a write", id, rows)
	}
	return rows / 1000
}

// A kill at any moment of a copy leaves the original whole, and the copy whole or
// not at all.
func TestCopySurvivesKills(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := reopenProjects(t, root)
	if err := p.Create(t.Context(), p.catalog("main")); err != nil {
		t.Fatal(err)
	}
	for _, st := range []string{"CREATE TABLE t (a INTEGER)", "CREATE TABLE weight AS SELECT hash(range) AS a FROM range(500000)"} {
		if err := p.exec(t.Context(), "main", st); err != nil {
			t.Fatal(err)
		}
	}
	copies := 0
	for range 6 {
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		said := killCopyChild(t, root)
		p = reopenProjects(t, root)
		if left := p.files(t); strings.Contains(left, ".copy-") {
			t.Errorf("left are %s", left)
		}
		n := p.thousands(t, "main")
		if written := strings.Count(said, "written "); written == 0 || !strings.Contains(said, fmt.Sprintf("written %d\n", n)) && !strings.Contains(said, fmt.Sprintf("copied %d\n", n-1)) {
			t.Errorf("the original has %d thousand rows after\n%s", n, said)
		}
		for i := range n + 1 {
			id := fmt.Sprint(i)
			if _, err := os.Stat(p.catalog(id).Path); err != nil {
				if strings.Contains(said, "copied "+id+"\n") {
					t.Errorf("copy %s is gone", id)
				}
				continue
			}
			copies++
			if got := p.thousands(t, id); got != i {
				t.Errorf("copy %s has %d thousand rows", id, got)
			}
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if copies == 0 {
		t.Error("no copy was made")
	}
}

// killCopyChild starts a child, kills it at some moment after its first write, and
// returns what it said.
func killCopyChild(t *testing.T, root string) string {
	t.Helper()
	child := osexec.Command(os.Args[0], "-test.run=^TestCopyChild$")
	child.Env = append(os.Environ(), copyChild+"="+root)
	stderr, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stderr)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Errorf("the child wrote nothing: %v", err)
	}
	timer := time.AfterFunc(time.Duration(rand.IntN(250))*time.Millisecond, func() { child.Process.Kill() })
	defer timer.Stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Error(err)
	}
	if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the child ended by itself: %v\n%s%s", err, first, rest)
	}
	return first + string(rest)
}
