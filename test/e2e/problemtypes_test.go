package e2e_test

import (
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// slugOf finds the types of problems that a plugin makes.
var slugOf = regexp.MustCompile(`sdk\.Code\{\s*Slug:\s*"([^"]+)"`)

// Every type of problem that a plugin of the product makes is declared by a command
// of it, and so in the API document and at its own address.
func TestProblemTypesOfPlugins(t *testing.T) {
	t.Parallel()
	s := start(t)
	found := 0
	err := fs.WalkDir(os.DirFS("../../plugins"), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile("../../plugins/" + path)
		for _, m := range slugOf.FindAllSubmatch(source, -1) {
			slug := string(m[1])
			var shown struct{ Type, Title, Meaning, Action string }
			if _, err := s.Admin().Do(t.Context(), http.MethodGet, "/problems/"+slug, nil, &shown); err != nil {
				t.Errorf("%s, of plugins/%s: %v", slug, path, err)
			}
			if shown.Type != "/problems/"+slug || shown.Title == "" || shown.Meaning == "" || shown.Action == "" {
				t.Errorf("%s is shown as %+v", slug, shown)
			}
			found++
		}
		return err
	})
	if err != nil || found < 5 {
		t.Errorf("%d types, %v", found, err)
	}
}
