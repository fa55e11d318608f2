// Package examples_test does with the examples what a stranger would: builds and tests
// them in their own modules, follows their pages, and runs them in the service.
package examples_test

import (
	"context"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// bin is what the tests run.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// checkout is the folder of the repository.
func checkout(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a script and returns what it prints on stdout.
func run(t *testing.T, dir, script string, env ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, &log)
	}
	return string(out)
}
