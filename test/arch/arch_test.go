package arch_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keboola/duckdb-storage/test/arch"
)

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRules(t *testing.T) {
	t.Parallel()
	tree, err := arch.Parse(os.DirFS(root(t)))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Go) < 50 || len(tree.Docs) < 5 {
		t.Fatalf("only %d files and %d documents are found", len(tree.Go), len(tree.Docs))
	}
	for _, r := range arch.Rules() {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			for _, fault := range r.Check(tree) {
				t.Errorf("%s\n\twhy: %s", fault, r.Reason)
			}
		})
	}
}
