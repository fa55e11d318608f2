package arch

import (
	"fmt"
	"slices"
	"strings"
)

// Rule is something that holds for the whole module.
type Rule struct {
	Name   string
	Reason string
	// Check returns each place that breaks the rule, and what makes the rule
	// itself void: a package that it names and that is gone, an exception that
	// nothing needs any more.
	Check func(*Tree) []string
}

// Rules are all rules of the house.
func Rules() []Rule {
	out := []Rule{pluginsMeetInAPI, closure, syncOwner, renameOwner, noInit, packageDoc, packageName, fileLength, links}
	for _, i := range imports {
		out = append(out, Rule{i.name, i.reason, i.check})
	}
	return out
}

// importRule says what some packages must not import.
type importRule struct {
	name, reason string
	who          []string // packages that the rule binds
	except       []string // packages or files among them that may
	never        []string // imports; those of this module start with "./"
	tests        bool     // the rule binds test files too
}

// inModule are all packages that make the product.
var inModule = []string{"cmd/...", "core/...", "plugins/...", "sdk/..."}

// everywhere adds what tests and measures it.
var everywhere = append(slices.Clone(inModule), "bench/...", "test/...")

var imports = []importRule{
	{
		name: "core knows no plugin", reason: "the host runs whatever plugins it finds; a feature that core needed could not be switched off",
		who: []string{"core/..."}, never: []string{"./plugins/...", "./cmd/...", "./test/...", "./bench/..."}, tests: true,
	},
	{
		name: "plugins know the SDK alone", reason: "a plugin is a process that answers with plans: everything dangerous stays in the host",
		who:   []string{"plugins/..."},
		never: []string{"./core/...", "./cmd/...", "database/sql/...", "net/http/...", "net", "os", "os/exec", "syscall", "unsafe", "github.com/duckdb/..."}, tests: true,
	},
	{
		name: "the SDK knows neither core nor plugins", reason: "it is a library for third parties; what runs their tests asks the service as a client does",
		who:    []string{"sdk/..."},
		except: []string{"sdk/sdktest/service"},
		never:  []string{"./core/...", "./plugins/...", "./cmd/...", "database/sql/...", "net/http/...", "github.com/duckdb/..."}, tests: true,
	},
	{
		name: "sdk/sql is pure", reason: "quoting must be readable in one sitting, so it depends on nothing",
		who: []string{"sdk/sql"}, never: []string{"./sdk", "./sdk/proto/...", "./sdk/internal/...", "reflect", "unsafe", "os"},
	},
	{
		name: "commands wire and do nothing else", reason: "what a program does is testable where it is; main only ties it together",
		who: []string{"cmd/..."}, never: []string{"./core/internal/...", "./core/httpapi", "./sdk/internal/...", "./sdk/proto/...", "net/http/...", "database/sql/..."}, tests: true,
	},
	{
		name: "a plugin's program holds its area only", reason: "CGO_ENABLED=0 builds it, so that DuckDB cannot get into it",
		who: []string{"cmd/plugin-buckets", "cmd/plugin-files", "cmd/plugin-tables"}, never: []string{"./core/..."},
	},
	{
		name: "the host's program holds no plugin", reason: "plugins are processes of their own",
		who: []string{"cmd/duckdb-storage"}, never: []string{"./plugins/..."},
	},
	{
		name: "engine owns the DuckDB driver", reason: "one place knows its faults, its errors and its limits (ADR 0010)",
		who: everywhere, except: []string{"core/internal/engine", "bench/raw.go"}, never: []string{"github.com/duckdb/..."}, tests: true,
	},
	{
		name: "engine owns Arrow and cgo", reason: "an Arrow batch is DuckDB's memory; who holds one must know when it goes (ADR 0010)",
		who: everywhere, except: []string{"core/internal/engine"}, never: []string{"github.com/apache/arrow-go/...", "C"}, tests: true,
	},
	{
		name: "compress owns gzip", reason: "level, blocks and what becomes of a stream that breaks off are decided in one place",
		who: inModule, except: []string{"core/internal/compress"}, never: []string{"github.com/klauspost/..."}, tests: true,
	},
	{
		name: "engine owns database/sql", reason: "a second user could bypass sessions and the queue; the registry scans NULLs with its types",
		who: everywhere, except: []string{"core/internal/engine", "core/internal/registry", "bench/raw.go"}, never: []string{"database/sql/..."}, tests: true,
	},
	{
		name: "httpapi owns HTTP", reason: "keys, problems and limits are applied in one place",
		who: inModule, except: []string{"core/httpapi", "sdk/sdktest/service"}, never: []string{"net/http/...", "github.com/gorilla/..."}, tests: true,
	},
	{
		name: "go-plugin and gRPC have one owner on each side", reason: "the rest speaks of commands and plans, and the transport can change",
		who: everywhere, except: []string{"core/internal/pluginhost/process", "sdk/internal/wire", "sdk/proto/duckdbstorage/plugin/v1"},
		never: []string{"github.com/hashicorp/go-plugin/...", "google.golang.org/grpc/..."}, tests: true,
	},
	{
		name: "process owns other programs", reason: "one place starts, watches and kills them; but only another program can copy a live database file, and tests of plugins start the service and their binaries",
		who: inModule,
		except: []string{
			"core/internal/pluginhost/process/...", "core/internal/pluginhost/scripted_test.go", "core/internal/disk/copy.go", "core/internal/engine/copycrash_test.go",
			"sdk/sdktest/...", "sdk/internal/wire/client.go", "sdk/internal/wire/process.go",
		}, never: []string{"os/exec"}, tests: true,
	},
	{
		name: "registry owns migrations", reason: "the version of a catalog is decided in one place",
		who: everywhere, except: []string{"core/internal/registry"}, never: []string{"github.com/golang-migrate/..."}, tests: true,
	},
	{
		name: "core owns the configuration", reason: "the order of flags, environment and file is said once",
		who: everywhere, except: []string{"core"}, never: []string{"github.com/knadh/...", "github.com/go-viper/..."}, tests: true,
	},
	{
		name: "metrics owns Prometheus", reason: "the other packages tell facts; names, labels and what they cost are decided in one place",
		who: everywhere, except: []string{"core/internal/metrics"}, never: []string{"github.com/prometheus/..."}, tests: true,
	},
	{
		name: "commands own the command line", reason: "the rest is a library",
		who: inModule, except: []string{"cmd/duckdb-storage"}, never: []string{"github.com/spf13/..."}, tests: true,
	},
	{
		name: "helpers of tests stay in tests", reason: "a stand-in must not run in production",
		who: inModule, except: []string{"core/internal/fixture", "sdk/sdktest"},
		never: []string{"testing/...", "./sdk/sdktest/...", "./core/internal/fixture", "github.com/google/go-cmp/...", "github.com/rogpeppe/..."},
	},
	{
		name: "the end-to-end tests know HTTP only", reason: "they must find what a client finds",
		who:   []string{"test/demo", "test/e2e", "test/crash", "test/faults", "test/sharing", "sdk/sdktest/service"},
		never: []string{"./core/...", "./plugins/...", "./sdk", "./sdk/sql", "./sdk/manual", "./sdk/proto/...", "./sdk/internal/...", "./sdk/sdktest"}, tests: true,
	},
}

func (r importRule) check(t *Tree) []string {
	var out []string
	used := map[string]bool{}
	for _, f := range t.Go {
		who := slices.IndexFunc(r.who, func(p string) bool { return matches(p, f.Dir) })
		if who < 0 {
			continue
		}
		used[r.who[who]] = true
		if f.Test && !r.tests {
			continue
		}
		for _, imported := range f.Imports {
			if !r.denies(imported) {
				continue
			}
			except := slices.IndexFunc(r.except, func(p string) bool { return matches(p, f.Dir) || p == f.Path })
			if except < 0 {
				out = append(out, fmt.Sprintf("%s imports %s", f.Path, imported))
				continue
			}
			used[r.except[except]] = true
		}
	}
	for _, p := range slices.Concat(r.who, r.except) {
		if !used[p] {
			out = append(out, fmt.Sprintf("the rule names %s, and nothing there needs it", p))
		}
	}
	return out
}

func (r importRule) denies(imported string) bool {
	if dir, ok := local(imported); ok {
		imported = "./" + dir
	}
	return matchesAny(r.never, imported)
}

var pluginsMeetInAPI = Rule{
	"plugins meet in their api packages", "an area's handlers are its own business; another area sees its commands and types",
	func(t *Tree) []string {
		var out []string
		for _, f := range t.Go {
			area := areaOf(f.Dir)
			if area == "" {
				continue
			}
			for _, imported := range f.Imports {
				dir, ok := local(imported)
				if other := areaOf(dir); ok && other != "" && other != area && dir != "plugins/"+other+"/api" {
					out = append(out, fmt.Sprintf("%s imports %s", f.Path, imported))
				}
			}
			if strings.HasPrefix(f.Dir, "plugins/"+area+"/api") && slices.Contains(f.Imports, Module+"/plugins/"+area) {
				out = append(out, fmt.Sprintf("%s imports the handlers of its area", f.Path))
			}
		}
		return out
	},
}

// areaOf is the area that a folder belongs to, or empty.
func areaOf(dir string) string {
	below, ok := strings.CutPrefix(dir, "plugins/")
	if !ok {
		return ""
	}
	area, _, _ := strings.Cut(below, "/")
	return area
}
