package arch_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/keboola/duckdb-storage/test/arch"
)

// planted is a file that breaks a rule, and what the rule says of it.
type planted struct {
	rule, path, source, want string
}

// importing is a file that imports something of the module (./) or of others.
func importing(imported string) string {
	if dir, ok := strings.CutPrefix(imported, "./"); ok {
		imported = arch.Module + "/" + dir
	}
	return "package p\n\nimport x \"" + imported + "\"\n"
}

// imports plants one import; what the rule says names the file and the import.
func imports(rule, path, imported string) planted {
	return planted{rule, path, importing(imported), path + " imports " + strings.Replace(imported, "./", arch.Module+"/", 1)}
}

var violations = []planted{
	imports("core knows no plugin", "core/internal/plan/a.go", "./plugins/tables"),
	imports("core knows no plugin", "core/a_test.go", "./plugins/tables/api"),
	imports("core knows no plugin", "core/a.go", "./bench"),
	imports("plugins know the SDK alone", "plugins/tables/a.go", "./core"),
	imports("plugins know the SDK alone", "plugins/tables/a.go", "./core/internal/engine"),
	imports("plugins know the SDK alone", "plugins/tables/api/a.go", "database/sql/driver"),
	imports("plugins know the SDK alone", "plugins/tables/a.go", "net/http"),
	imports("plugins know the SDK alone", "plugins/tables/a.go", "os"),
	imports("plugins know the SDK alone", "plugins/tables/a_test.go", "github.com/duckdb/duckdb-go/v2"),
	imports("the SDK knows neither core nor plugins", "sdk/sdktest/a.go", "./core/internal/pluginhost"),
	imports("the SDK knows neither core nor plugins", "sdk/a_test.go", "./plugins/tables"),
	imports("sdk/sql is pure", "sdk/sql/a.go", "./sdk"),
	imports("commands wire and do nothing else", "cmd/duckdb-storage/a.go", "./core/internal/engine"),
	imports("a plugin's program holds its area only", "cmd/plugin-tables/a.go", "./core"),
	imports("the host's program holds no plugin", "cmd/duckdb-storage/a.go", "./plugins/tables"),
	imports("engine owns the DuckDB driver", "core/internal/plan/a.go", "github.com/duckdb/duckdb-go/v2"),
	imports("engine owns the DuckDB driver", "bench/latency.go", "github.com/duckdb/duckdb-go/v2"),
	imports("engine owns the DuckDB driver", "test/e2e/a_test.go", "github.com/duckdb/duckdb-go-bindings"),
	imports("engine owns Arrow and cgo", "core/internal/plan/a.go", "github.com/apache/arrow-go/v18/arrow"),
	imports("engine owns Arrow and cgo", "core/internal/disk/a.go", "C"),
	imports("compress owns gzip", "core/httpapi/a.go", "github.com/klauspost/pgzip"),
	imports("engine owns database/sql", "core/internal/plan/a.go", "database/sql"),
	imports("httpapi owns HTTP", "core/internal/auth/a.go", "net/http"),
	imports("httpapi owns HTTP", "core/internal/auth/a.go", "net/http/httptest"),
	imports("httpapi owns HTTP", "cmd/duckdb-storage/a.go", "github.com/gorilla/mux"),
	imports("go-plugin and gRPC have one owner on each side", "sdk/a.go", "google.golang.org/grpc/status"),
	imports("go-plugin and gRPC have one owner on each side", "core/internal/pluginhost/a.go", "github.com/hashicorp/go-plugin"),
	imports("process owns other programs", "core/internal/engine/a.go", "os/exec"),
	imports("registry owns migrations", "core/internal/engine/a.go", "github.com/golang-migrate/migrate/v4"),
	imports("core owns the configuration", "core/internal/engine/a.go", "github.com/knadh/koanf/v2"),
	imports("metrics owns Prometheus", "core/internal/queue/a.go", "github.com/prometheus/client_golang/prometheus"),
	imports("metrics owns Prometheus", "core/httpapi/a_test.go", "github.com/prometheus/common/expfmt"),
	imports("commands own the command line", "core/a.go", "github.com/spf13/cobra"),
	imports("helpers of tests stay in tests", "core/internal/files/a.go", "testing"),
	imports("helpers of tests stay in tests", "core/a.go", "./core/internal/fixture"),
	imports("helpers of tests stay in tests", "plugins/tables/a.go", "./sdk/sdktest"),
	imports("the end-to-end tests know HTTP only", "test/e2e/a_test.go", "./core/internal/engine"),
	imports("plugins meet in their api packages", "plugins/tables/a.go", "./plugins/buckets"),
	imports("plugins meet in their api packages", "plugins/tables/a.go", "./plugins/buckets/api/internal/x"),
	imports("plugins meet in their api packages", "plugins/tables/api/a.go", "./plugins/buckets"),
	{"plugins meet in their api packages", "plugins/tables/api/a.go", importing("./plugins/tables"), "imports the handlers of its area"},
	{"plugins and the SDK stay small", "plugins/tables/a.go", importing("./core"), "core is imported by plugins/tables/a.go"},
	{"plugins and the SDK stay small", "sdk/a.go", importing("./bench"), "bench is imported by sdk/a.go"},
	{"plugins and the SDK stay small", "sdk/a.go", importing("github.com/duckdb/duckdb-go/v2"), "sdk/a.go imports github.com/duckdb/duckdb-go/v2, which is not on the list"},
	{"plugins and the SDK stay small", "plugins/tables/a_test.go", importing("example.com/assert"), "example.com/assert, which is not on the list"},
	{"plugins and the SDK stay small", "plugins/tables/a.go", "package p\n\nimport \"C\"\n", "imports C, which is not on the list"},
	{"disk owns renames", "core/internal/files/a.go", "package p\n\nimport \"os\"\n\nfunc f() error { return os.Rename(`a`, `b`) }\n", "core/internal/files/a.go:5"},
	{"disk owns renames", "core/internal/files/a.go", "package p\n\nimport std \"os\"\n\nvar _ = std.Rename(`a`, `b`)\n", "core/internal/files/a.go:5"},
	{"disk and files own syncs", "core/internal/engine/a.go", "package p\n\nimport \"os\"\n\nfunc f(x *os.File) { x.Sync() }\n", "core/internal/engine/a.go:5"},
	{"disk and files own syncs", "core/a.go", "package p\n\nimport \"syscall\"\n\nvar _ = syscall.Fsync(1)\n", "core/a.go:5"},
	{"nothing happens at import", "core/a.go", "package p\n\nfunc init() {}\n", "core/a.go:3 has a func init"},
	{"nothing happens at import", "core/a.go", "package p\n\nimport _ \"image/png\"\n", `core/a.go:3 imports "image/png" as _`},
	{"nothing happens at import", "core/a_test.go", "package p\n\nimport . \"fmt\"\n", `core/a_test.go:3 imports "fmt" as .`},
	{"every package has a doc", "core/new/a.go", "package p\n", "core/new has no doc"},
	{"every package has a doc", "core/new/a.go", "// Something else.\npackage p\n", "core/new has no doc"},
	{"every package has a doc", "core/new/a.go", "// Command p is none.\npackage p\n", "core/new has no doc"},
	{"packages are nouns", "core/internal/util/a.go", "package util\n", "core/internal/util is a drawer"},
	{"files have one idea", "core/a.go", "package p\n" + strings.Repeat("\n", 500), "core/a.go has 501 lines"},
	{"links of the documents lead somewhere", "docs/a.md", "[x](b.md)", "docs/a.md links to b.md: there is no such file"},
	{"links of the documents lead somewhere", "docs/a.md", "[x](../core/none.go)", "there is no such file"},
	{"links of the documents lead somewhere", "docs/a.md", "# Known faults\n\n[x](#known-fault)", "the file has no such heading"},
	{"links of the documents lead somewhere", "docs/a.md", "```\n# In code\n```\n\n[x](a.md#in-code)", "the file has no such heading"},
	{"links of the documents lead somewhere", "docs/a.md", "[x](../README.md#none)", "the file has no such heading"},
}

// tree parses files that break nothing, and those given.
func tree(t *testing.T, more ...planted) *arch.Tree {
	t.Helper()
	files := fstest.MapFS{
		"go.mod":                  {Data: []byte("module " + arch.Module)},
		"README.md":               {Data: []byte("# Read me: it's `short`\n\n[docs](docs/b/c.md#one-two--3) [self](#read-me-its-short) [web](https://example.com/none.md)\n")},
		"docs/b/c.md":             {Data: []byte("## One, two & 3?\n\n[up](../../README.md) `[no](link.md)`\n\n```\n[no](link.md)\n```\n")},
		"tools/go.mod":            {Data: []byte("module tools")},
		"tools/a.go":              {Data: []byte("another module, perhaps broken")},
		"core/testdata/a.go":      {Data: []byte("no code")},
		"sdk/sql/sql.go":          {Data: []byte("// Package p is right.\npackage p\n\nimport \"strings\"\n")},
		"core/gen.go":             {Data: []byte("// Code generated by x. DO NOT EDIT.\n\n// Package p is right.\npackage p\n\nfunc init() {}\n" + strings.Repeat("\n", 600))},
		"core/internal/disk/a.go": {Data: []byte("// Package p is right.\npackage p\n\nimport \"os\"\n\nvar _ = os.Rename(`a`, `b`)\n\nfunc f(x *os.File) { x.Sync() }\n")},
		"plugins/tables/good.go":  {Data: []byte("// Package p is right.\npackage p\n\nimport x \"" + arch.Module + "/plugins/buckets/api\"\n")},
	}
	for _, p := range more {
		files[p.path] = &fstest.MapFile{Data: []byte(p.source)}
	}
	out, err := arch.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// faults are what a rule says of the tree's files, without what it says of itself.
func faults(r arch.Rule, tree *arch.Tree) []string {
	return slices.DeleteFunc(r.Check(tree), func(f string) bool { return strings.Contains(f, "nothing") })
}

func TestRulesFindWhatIsPlanted(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, r := range arch.Rules() {
		if got := faults(r, tree(t)); len(got) > 0 {
			t.Errorf("%s: right files break it: %q", r.Name, got)
		}
		for _, p := range violations {
			if p.rule != r.Name {
				continue
			}
			got := faults(r, tree(t, p))
			if !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, p.want) }) {
				t.Errorf("%s: says %q of %s, want %q", r.Name, got, p.path, p.want)
			}
			found[r.Name] = true
		}
		if !found[r.Name] {
			t.Errorf("%s: nothing is planted for it, so nobody knows that it works", r.Name)
		}
		if r.Reason == "" {
			t.Errorf("%s: has no reason", r.Name)
		}
	}
	for _, p := range violations {
		if !found[p.rule] {
			t.Errorf("there is no rule %q", p.rule)
		}
	}
}

// What a rule names must be there: a package that moved would take its rule with it.
func TestRulesNoticeWhatIsGone(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"engine owns the DuckDB driver":          "the rule names core/internal/engine, and nothing there needs it",
		"the host's program holds no plugin":     "the rule names cmd/duckdb-storage, and nothing there needs it",
		"plugins and the SDK stay small":         "the list has google.golang.org/grpc/..., and nothing imports it",
		"metrics owns Prometheus":                "the rule names core/internal/metrics, and nothing there needs it",
		"disk and files own syncs":               "the rule names core/internal/files, and nothing there needs it",
		"helpers of tests stay in tests":         "the rule names sdk/sdktest, and nothing there needs it",
		"the end-to-end tests know HTTP only":    "the rule names test/crash, and nothing there needs it",
		"plugins know the SDK alone":             "",
		"the SDK knows neither core nor plugins": "the rule names sdk/sdktest/service, and nothing there needs it",
	} {
		i := slices.IndexFunc(arch.Rules(), func(r arch.Rule) bool { return r.Name == name })
		if i < 0 {
			t.Errorf("there is no rule %q", name)
			continue
		}
		got := arch.Rules()[i].Check(tree(t))
		if want == "" && len(got) > 0 || want != "" && !slices.Contains(got, want) {
			t.Errorf("%s: says %q, want %q", name, got, want)
		}
	}
}

func TestParseFails(t *testing.T) {
	t.Parallel()
	if _, err := arch.Parse(fstest.MapFS{"core/a.go": {Data: []byte("packag p")}}); err == nil || !strings.Contains(err.Error(), "core/a.go") {
		t.Errorf("a file that is no Go: %v", err)
	}
}
