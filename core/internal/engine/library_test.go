package engine_test

import (
	"slices"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
)

func TestLibrary(t *testing.T) {
	t.Parallel()
	found, err := engine.LookAtLibrary(t.Context())
	if err != nil || found.Version == "" {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, want := range []string{"core_functions", "icu", "json", "parquet"} {
		if !slices.Contains(found.Extensions, engine.Extension{Name: want, Static: true}) {
			t.Errorf("%s is not linked into the program: %v", want, found.Extensions)
		}
	}
}
