package sdk_test

import (
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
)

func TestCheckBucket(t *testing.T) {
	t.Parallel()
	for name, reserved := range map[sdk.Name]bool{
		"": false, "in.c-main": false, "Main bucket": false, "_one": false, "a__b": false, "mainly": false, "project_1": false,
		"project_1_mainly": false, "my_project_1_main": false, "字": false, `"main"`: false, " main": false,
		"__storage": true, "__": true, "__Mine": true, "main": true, "Main": true, "INFORMATION_SCHEMA": true, "pg_catalog": true,
		"temp": true, "system": true, "memory": true, "project_1_main": true, "PROJECT_a-b_MAIN": true,
		"project_1_branch_2": true, "Project_x_branch_y-z": true,
	} {
		err := name.CheckBucket()
		if reserved != errors.Is(err, sdk.ErrReservedName) || !reserved && err != nil {
			t.Errorf("%q: %v, want reserved %v", name, err, reserved)
		}
		var e *sdk.Error
		if reserved && (!errors.As(err, &e) || e.Pointer != "/name") {
			t.Errorf("%q: the error points to %q", name, e.Pointer)
		}
	}
}

func TestPageLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[sdk.PageLimit]int{0: 100, 1: 1, 1000: 1000} {
		if got := limit.OrDefault(); got != want {
			t.Errorf("%d gives %d, want %d", limit, got, want)
		}
	}
}
