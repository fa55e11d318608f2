package hostapi_test

import (
	"testing"

	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

func TestShareHandle(t *testing.T) {
	t.Parallel()
	a, b := hostapi.NewShareHandle("1-a_B"), hostapi.NewShareHandle("1-a_B")
	if a == b {
		t.Errorf("two handles are %s", a)
	}
	if project, ok := hostapi.ShareProject(a); !ok || project != "1-a_B" {
		t.Errorf("%s is of %q, %v", a, project, ok)
	}
	for _, bad := range []string{"", ".", "1", "1.", "1.short", ".ABCDEFGHIJKLMNOPQRSTUVWXYZ", a + "A"} {
		if _, ok := hostapi.ShareProject(bad); ok {
			t.Errorf("%q is taken for a handle", bad)
		}
	}
}
