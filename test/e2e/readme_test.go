package e2e_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The main job of the README works as it is pasted, and its last line downloads
// what the README shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, rest := mainJob(t, string(readme))
	want := lines(block(t, rest, "```\n"))
	s := start(t)
	// A folder of the test's own, because others may run the same lines now.
	script = strings.ReplaceAll(script, "/tmp/", t.TempDir()+"/")

	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "URL="+s.URL(), "ADMIN_KEY="+s.AdminKey)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s\n%s", err, out, &log, s.Log())
	}
	got := lines(string(out))
	got = got[max(len(got)-len(want), 0):]
	slices.Sort(want) // rows have no order
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the last line downloads (-readme +got):\n%s\nthe whole output:\n%s", diff, out)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// mainJob is the script between the marks and what follows it.
func mainJob(t *testing.T, readme string) (script, rest string) {
	t.Helper()
	const begin, end = "<!-- main-job -->\n", "<!-- /main-job -->\n"
	_, after, ok := strings.Cut(readme, begin)
	if !ok {
		t.Fatalf("README.md has no %s", begin)
	}
	marked, rest, ok := strings.Cut(after, end)
	if !ok {
		t.Fatalf("README.md has no %s", end)
	}
	return block(t, marked, "```sh\n"), rest
}

// block is the text of the first block that a fence opens.
func block(t *testing.T, text, fence string) string {
	t.Helper()
	_, after, ok := strings.Cut(text, fence)
	content, _, closed := strings.Cut(after, "```")
	if !ok || !closed || strings.TrimSpace(content) == "" {
		t.Fatalf("README.md has no block that begins with %q where it is expected", fence)
	}
	return content
}

// lines are the lines of a text that are not empty.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
}
