package main

import "testing"

func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		figure, target float64
		want           string
	}{
		{1.5, 0, ""},
		{1.1, 1.1, "target 1.10: met"},
		{1.11, 1.1, "target 1.10: missed"},
	} {
		if got := verdict(tc.figure, tc.target); got != tc.want {
			t.Errorf("%v of %v: %q, want %q", tc.figure, tc.target, got, tc.want)
		}
	}
}
