package httpapi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
)

// declaredCodes finds the slug of every sdk.Code that a folder of the source makes,
// with the place.
func declaredCodes(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	set := token.NewFileSet()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal/testplugin/") {
			return err
		}
		file, err := parser.ParseFile(set, dir+"/"+path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.CompositeLit)
			if !ok || !isCode(literal.Type) || len(literal.Elts) == 0 {
				return true
			}
			slug := literal.Elts[0]
			if named, ok := slug.(*ast.KeyValueExpr); ok {
				slug = named.Value
			}
			if text, ok := slug.(*ast.BasicLit); ok {
				value, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Error(err)
				}
				found[value] = set.Position(literal.Pos()).String()
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func isCode(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Code"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Code"
	}
	return false
}

// Every type of problem of the host and the SDK is listed and explained, and nothing
// else is.
func TestEveryProblemTypeIsListed(t *testing.T) {
	t.Parallel()
	declared := declaredCodes(t, "..")
	maps.Copy(declared, declaredCodes(t, "../../sdk"))
	if len(declared) < 40 {
		t.Fatalf("the source has %d types of problems", len(declared))
	}
	listed := map[string]bool{}
	for _, code := range hostProblems() {
		if listed[code.Slug] {
			t.Errorf("%s is listed twice", code.Slug)
		}
		listed[code.Slug] = true
		if declared[code.Slug] == "" {
			t.Errorf("%s is listed, and the test does not find where it is declared", code.Slug)
		}
	}
	for slug, where := range declared {
		if !listed[slug] {
			t.Errorf("%s, of %s, is not among hostProblems", slug, where)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(explanations))); diff != "" {
		t.Errorf("explanations (-listed +explained):\n%s", diff)
	}
}

// The status of a type is that of its problems.
func TestProblemTypeStatus(t *testing.T) {
	t.Parallel()
	for code, want := range map[sdk.Code]int{
		errMethod: 405, errAccept: 406, errMediaType: 415, sdk.ErrMalformed: 400, sdk.ErrQueueFull: 429, sdk.ErrPluginOff: 501,
		{Slug: "of-a-plugin", Kind: sdk.Exists}: 409, {Slug: "of-no-kind", Kind: 99}: 500,
	} {
		if got := newProblemType(code); got.Status != want || got.Meaning == "" || got.Action == "" || got.Kind == "" || got.Slug() != code.Slug {
			t.Errorf("%s: %+v, want status %d", code.Slug, got, want)
		}
	}
}
