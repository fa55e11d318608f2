package metrics_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The list for operators has every metric of the service, each with what it says.
func TestList(t *testing.T) {
	t.Parallel()
	m := filled()
	text, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range m.Declared() {
		if families[name] == nil && strings.HasPrefix(name, "duckdb_storage_") {
			t.Errorf("the test counts nothing in %s", name)
		}
	}
	var list strings.Builder
	list.WriteString("| metric | type | says |\n|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(families)) {
		f := families[name]
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		short, own := strings.CutPrefix(name, "duckdb_storage_")
		if !own {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		if len(labels) > 0 {
			short += "{" + strings.Join(labels, ",") + "}"
		}
		fmt.Fprintf(&list, "| `%s` | %s | %s |\n", short, strings.ToLower(f.GetType().String()), f.GetHelp())
	}
	const path = "testdata/metrics.md"
	if *update {
		if err := os.WriteFile(path, []byte(list.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(list.String(), "\n")); diff != "" {
		t.Errorf("%s (-want +got; go test -update rewrites it):\n%s", path, diff)
	}
}
