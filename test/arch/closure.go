package arch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// allowed is what plugins and the SDK may import of others: each works without
// cgo, opens nothing and is small enough for a third party to take.
var allowed = map[string]string{
	"github.com/google/go-cmp/...":              "differences in tests and goldens",
	"github.com/google/jsonschema-go/...":       "schemas from types",
	"github.com/hashicorp/go-hclog":             "the log of a plugin process",
	"github.com/hashicorp/go-plugin/...":        "the process and its connection",
	"github.com/santhosh-tekuri/jsonschema/...": "sdktest checks input as the host does",
	"golang.org/x/text/...":                     "messages of the schema check",
	"google.golang.org/grpc/...":                "the connection",
	"google.golang.org/protobuf/...":            "the contract",
}

// closure follows the imports of plugins and the SDK through the module. The
// direct imports of each step are checked, so nothing comes in sideways.
var closure = Rule{
	"plugins and the SDK stay small", "a third party takes the SDK with all that it imports; DuckDB and the host must not come with it",
	func(t *Tree) []string {
		byDir := map[string][]*File{}
		for _, f := range t.Go {
			byDir[f.Dir] = append(byDir[f.Dir], f)
		}
		reached := map[string]string{} // package, to who imports it
		var queue []string
		for _, dir := range t.dirs() {
			if matchesAny([]string{"plugins/...", "sdk/..."}, dir) {
				reached[dir] = "itself"
				queue = append(queue, dir)
			}
		}
		if len(queue) == 0 {
			return []string{"there are neither plugins nor an SDK"}
		}
		var out []string
		used := map[string]bool{}
		for len(queue) > 0 {
			dir := queue[0]
			queue = queue[1:]
			if !matchesAny([]string{"plugins/...", "sdk/..."}, dir) {
				out = append(out, fmt.Sprintf("%s is imported by %s", dir, reached[dir]))
			}
			for _, f := range byDir[dir] {
				for _, imported := range f.Imports {
					if next, ok := local(imported); ok {
						if reached[next] == "" && !f.Test {
							reached[next] = f.Path
							queue = append(queue, next)
						}
						continue
					}
					if isStandard(imported) {
						continue
					}
					pattern, ok := find(allowed, imported)
					if !ok {
						out = append(out, fmt.Sprintf("%s imports %s, which is not on the list", f.Path, imported))
					}
					used[pattern] = true
				}
			}
		}
		for _, pattern := range slices.Sorted(maps.Keys(allowed)) {
			if !used[pattern] {
				out = append(out, fmt.Sprintf("the list has %s, and nothing imports it", pattern))
			}
		}
		return out
	},
}

func find(patterns map[string]string, name string) (string, bool) {
	for p := range patterns {
		if matches(p, name) {
			return p, true
		}
	}
	return "", false
}

// isStandard tells Go's own packages: the first part of their path has no dot.
// "C" is cgo and counts as foreign.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && imported != "C"
}
