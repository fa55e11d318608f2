package examples_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// requiredEnv, set to 1, fails a test that would be skipped for want of Python.
const requiredEnv = "EXAMPLES_REQUIRED"

// The plugin in Python conforms, and serves beside those in Go.
func TestProfile(t *testing.T) {
	t.Parallel()
	binary := buildProfile(t)
	sdktest.ConformBinary(t, binary)

	s := sdktest.Run(t, binary, sdktest.Options{Grants: []string{"sql:read"}})
	p := s.Project
	if err := p.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Fatal(err)
	}
	columns := []map[string]any{{"name": "id", "type": "INTEGER"}, {"name": `odd"name`, "type": "STRING", "nullable": true}}
	if err := p.CreateTable(t.Context(), "in.c-main", "orders", columns); err != nil {
		t.Fatal(err)
	}
	s.SQL(`INSERT INTO "in.c-main".orders VALUES (1, 'a'), (2, NULL), (3, 'a')`)
	var out struct{ Rows [][]any }
	if err := s.Do(http.MethodGet, "/x/profile/in.c-main/orders", nil, &out); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out.Rows, func(a, b []any) int { return strings.Compare(a[0].(string), b[0].(string)) })
	want := [][]any{{"id", 3.0, 3.0, 3.0, "1", "3"}, {`odd"name`, 3.0, 2.0, 1.0, "a", "a"}}
	if diff := cmp.Diff(want, out.Rows); diff != "" {
		t.Errorf("the profile (-want +got):\n%s", diff)
	}
	if err := s.Do(http.MethodGet, "/x/profile/in.c-main/none", nil, nil); !service.IsProblem(err, "table-not-found") {
		t.Errorf("no table: %v", err)
	}
	var api strings.Builder
	if _, err := s.Admin().Do(t.Context(), http.MethodGet, "/openapi.json", nil, &api); err != nil || !strings.Contains(api.String(), "/x/profile/{schema}/{table}") {
		t.Errorf("the API document has no route of the plugin: %v", err)
	}
}

// A person who runs it learns how to install it.
func TestProfileByHand(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), buildProfile(t)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "the host starts it") || !strings.Contains(string(out), "grants: [sql:read]") {
		t.Errorf("%v: %s", err, out)
	}
}

func buildProfile(t *testing.T) (binary string) {
	t.Helper()
	check := exec.CommandContext(t.Context(), "sh", "-c", "/usr/bin/python3 -c 'import grpc, google.protobuf, cryptography' && command -v protoc grpc_python_plugin")
	if out, err := check.CombinedOutput(); err != nil {
		if os.Getenv(requiredEnv) == "1" {
			t.Fatalf("the packages that examples/profile-python/README.md names are not installed: %s", out)
		}
		t.Skipf("needs the packages that examples/profile-python/README.md names; %s=1 makes it a fault", requiredEnv)
	}
	binary = filepath.Join(t.TempDir(), "plugin-profile")
	run(t, filepath.Join(checkout(t), "examples/profile-python"), "./build.sh "+binary)
	return binary
}
