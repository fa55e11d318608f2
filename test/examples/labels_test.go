package examples_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const labels = "examples/labels"

// maxTutorialLines is what the tutorial promises of its first plugin.
const maxTutorialLines = 40

var (
	shell  = regexp.MustCompile("(?s)```sh\n(.*?)```")
	source = regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```go\n(.*?)```")
	answer = regexp.MustCompile("(?s)It answers\n\n```json\n(.*?)```")
)

// The example is built and tested as a module of its own, which no file of this
// repository helps: its go.mod and go.sum are complete.
func TestLabels(t *testing.T) {
	t.Parallel()
	run(t, filepath.Join(checkout(t), labels), "go mod tidy -diff && go vet ./... && go test ./...", service.BinEnv+"="+bin)
}

// The tutorial leads from an empty folder to a served route, word for word.
func TestTutorial(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(checkout(t), labels, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	page, dir := string(raw), t.TempDir()
	file := source.FindStringSubmatch(page)
	if file == nil {
		t.Fatal("the page has no file")
	}
	if lines := strings.Count(file[2], "\n"); lines >= maxTutorialLines {
		t.Errorf("%s has %d lines, not under %d", file[1], lines, maxTutorialLines)
	}
	var script strings.Builder
	for i, block := range shell.FindAllStringSubmatch(page, -1) {
		script.WriteString(block[1])
		if i == 0 { // now the reader is in the folder and puts the file there
			fmt.Fprintf(&script, "cat > %s <<'END OF FILE'\n%sEND OF FILE\n", file[1], file[2])
		}
	}
	// What a machine that runs other tests cannot have: the port, and bin where make
	// build puts it.
	text := strings.ReplaceAll(script.String(), "127.0.0.1:8090", freeAddress(t))
	text = strings.ReplaceAll(text, "$CHECKOUT/bin", bin)
	out := run(t, dir, "trap 'kill %1; wait' EXIT\n"+text, "CHECKOUT="+checkout(t), "DUCKDB_STORAGE_RUNTIME_DIR="+shortDir(t))

	want := answer.FindStringSubmatch(page)
	if want == nil {
		t.Fatal("the page does not say what the route answers")
	}
	for _, expected := range []string{want[1], "plugin-labels", `grants: ["sql:write"]`, "/projects/{project}/x/labels/{schema}/{table}/{label}\n"} {
		if !strings.Contains(out, expected) {
			t.Errorf("the tutorial prints no %q:\n%s", expected, out)
		}
	}
}

// freeAddress is one that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shortDir is a folder in whose path sockets fit.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
