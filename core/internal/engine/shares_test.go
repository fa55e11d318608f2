package engine

import "testing"

func TestShares(t *testing.T) {
	t.Parallel()
	const mib, gib = int64(mebibyte), int64(1024 * mebibyte)
	for _, tc := range []struct {
		name               string
		budget             int64
		busy, idle         int
		eachBusy, eachIdle int64
	}{
		{"nothing is open", 4 * gib, 0, 0, 0, 0},
		{"one alone has all", 4 * gib, 1, 0, 4 * gib, 0},
		{"two share", 4 * gib, 2, 0, 2 * gib, 0},
		{"whole MiB", 1000 * mib, 3, 0, 333 * mib, 0},
		{"an odd budget", 1000*mib + 7, 1, 0, 1000 * mib, 0},
		{"idle ones keep a cache", 4 * gib, 1, 4, 4*gib - 4*64*mib, 64 * mib},
		{"nobody works", 4 * gib, 0, 4, 0, 64 * mib},
		{"many idle ones get a quarter", 2 * gib, 1, 16, 2*gib - 16*32*mib, 32 * mib},
		{"idle floor", 1 * gib, 0, 100, 0, 16 * mib},
		{"busy floor", 1 * gib, 100, 0, 128 * mib, 0},
		{"both floors", 512 * mib, 50, 50, 128 * mib, 16 * mib},
		{"the registries have taken all", -mib, 1, 1, 128 * mib, 16 * mib},
	} {
		eachBusy, eachIdle := shares(tc.budget, tc.busy, tc.idle)
		if eachBusy != tc.eachBusy || eachIdle != tc.eachIdle {
			t.Errorf("%s: got %d and %d MiB, want %d and %d", tc.name, eachBusy/mib, eachIdle/mib, tc.eachBusy/mib, tc.eachIdle/mib)
		}
		sum := int64(tc.busy)*eachBusy + int64(tc.idle)*eachIdle
		if sum > tc.budget && eachBusy > busyFloor {
			t.Errorf("%s: %d MiB are handed out", tc.name, sum/mib)
		}
	}
}
