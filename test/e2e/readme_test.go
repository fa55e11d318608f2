package e2e_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The README works as it is pasted: its main job downloads what the README shows, the
// linked bucket has the rows, and nothing is left when its projects are removed.
func TestReadme(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(raw)
	job, rest := marked(t, readme, "main-job")
	want := lines(block(t, rest, "```\n"))
	sharing, _ := marked(t, readme, "sharing")
	remove, _ := marked(t, readme, "remove")
	s := start(t)
	// A folder of the test's own, because others may run the same lines now.
	list := `curl -sS -H "Authorization: Bearer $ADMIN_KEY" $URL/projects`
	script := strings.ReplaceAll(strings.Join([]string{job, sharing, remove, list}, "\necho ---\n"), "/tmp/", t.TempDir()+"/")

	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Env = append(os.Environ(), "URL="+s.URL(), "ADMIN_KEY="+s.AdminKey)
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s\n%s", err, out, &log, s.Log())
	}
	parts := strings.Split(string(out), "---\n")
	if len(parts) != 4 {
		t.Fatalf("the output has %d parts:\n%s", len(parts), out)
	}
	got := lines(parts[0])
	got = got[max(len(got)-len(want), 0):]
	slices.Sort(want) // rows have no order
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the last line of the main job downloads (-readme +got):\n%s\nthe whole output:\n%s", diff, parts[0])
	}
	if !strings.Contains(parts[1], `"rows":[[3]]`) {
		t.Errorf("the linked bucket: %s", parts[1])
	}
	if parts[2] != "" || !strings.Contains(parts[3], `"items":[]`) {
		t.Errorf("the removal answers %q and leaves %s", parts[2], parts[3])
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// marked is the script between two marks and what follows it.
func marked(t *testing.T, readme, name string) (script, rest string) {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	_, after, ok := strings.Cut(readme, begin)
	if !ok {
		t.Fatalf("README.md has no %s", begin)
	}
	inside, rest, ok := strings.Cut(after, end)
	if !ok {
		t.Fatalf("README.md has no %s", end)
	}
	return block(t, inside, "```sh\n"), rest
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
