// Package docs_test does what the documentation tells a reader to do.
package docs_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

var (
	fileBlock = regexp.MustCompile("(?s)<!-- file: (\\S+) -->\n```go\n(.*?)```")
	handle    = regexp.MustCompile(`(?m)^p\.Needs\(.*\nsdk\.Handle\(p, Keep, .*$`)
	golden    = regexp.MustCompile("(?s)`testdata/rows.golden` is\n\n```\n(.*?)```")
)

// The plugin of the page for authors is built as the page says, passes its own
// tests, and serves its routes beside the plugins of the product.
func TestPluginAuthors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/plugin-authors.md")
	if err != nil {
		t.Fatal(err)
	}
	page, dir := string(raw), t.TempDir()
	write(t, dir, page)
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, `
		go mod init example.com/plugin-sample
		go mod edit -require github.com/keboola/duckdb-storage@v0.0.0 -replace github.com/keboola/duckdb-storage=`+checkout+`
		go mod tidy
		go vet ./...
		go test -update ./...
		go test ./...
		CGO_ENABLED=0 go build -o plugin-sample .
		mkdir -p bin/plugins
		cp `+bin+`/duckdb-storage bin
		cp `+bin+`/plugins/* plugin-sample bin/plugins`)
	got, err := os.ReadFile(filepath.Join(dir, "testdata", "rows.golden"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(only(t, golden, page), string(got)); diff != "" {
		t.Errorf("rows.golden (-page +got):\n%s", diff)
	}
	serve(t, filepath.Join(dir, "bin"))
}

// write puts the files of the page into a folder, with the lines that it says are
// to be added for the second of them.
func write(t *testing.T, dir, page string) {
	t.Helper()
	blocks := fileBlock.FindAllStringSubmatch(page, -1)
	if len(blocks) < 3 {
		t.Fatalf("the page has %d files", len(blocks))
	}
	for _, b := range blocks {
		text := b[2]
		if b[1] == "main.go" {
			text = strings.Replace(text, "\treturn p\n", "\t"+only(t, handle, page)+"\n\treturn p\n", 1)
		}
		if err := os.WriteFile(filepath.Join(dir, b[1]), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// only returns the one match, or its group, of an expression in the page.
func only(t *testing.T, expression *regexp.Regexp, page string) string {
	t.Helper()
	all := expression.FindAllStringSubmatch(page, -1)
	if len(all) != 1 {
		t.Fatalf("the page has %d times %s", len(all), expression)
	}
	return all[0][len(all[0])-1]
}

func run(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euxc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// grants is what the operator of the page's plugin allows it, once both files are in.
const grants = "DUCKDB_STORAGE_PLUGINS__SAMPLE__GRANTS=sql:read,sql:write,tables:read"

func serve(t *testing.T, bin string) {
	t.Helper()
	data, err := os.MkdirTemp("", "ds") // short, because sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(data) })
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: data, Env: []string{grants}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	p, err := s.Admin().CreateProject(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateTable(t.Context(), "in.c-main", "orders", []map[string]string{{"name": "id", "type": "INTEGER"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Query(t.Context(), `INSERT INTO "in.c-main".orders VALUES (1), (1), (1)`); err != nil {
		t.Fatal(err)
	}
	keep := p.Path("x", "sample", "in.c-main", "orders", "keep")
	var kept struct {
		DeletedRowsCount int64 `json:"deletedRowsCount"`
	}
	if _, err := p.Do(t.Context(), http.MethodPost, keep, map[string]int{"rowsCount": 2}, &kept); err != nil || kept.DeletedRowsCount != 1 {
		t.Errorf("keep: %+v, %v", kept, err)
	}
	if _, err := p.Do(t.Context(), http.MethodPost, keep, map[string]int{"rowsCount": 9}, nil); !service.IsProblem(err, "sample-too-small") {
		t.Errorf("keep too many: %v", err)
	}
	var rows struct {
		Rows [][]any `json:"rows"`
	}
	_, err = p.Do(t.Context(), http.MethodGet, p.Path("x", "sample", "in.c-main", "orders"), nil, &rows)
	if diff := cmp.Diff([][]any{{1.0}, {1.0}}, rows.Rows); err != nil || diff != "" {
		t.Errorf("rows: %v %s", err, diff)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
