package main

import "testing"

func TestTally(t *testing.T) {
	t.Parallel()
	for _, pieces := range [][]string{
		{"PAR1\nand so on\nPAR1"},
		{"PA", "", "R1\nand ", "so on\nPAR", "1"},
		{"P", "A", "R", "1", "\nand so on\n", "P", "A", "R", "1"},
	} {
		counted := &tally{}
		for _, p := range pieces {
			if n, err := counted.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatalf("%d bytes and %v", n, err)
			}
		}
		if counted.bytes != 19 || counted.lines != 2 {
			t.Errorf("%q: %d bytes and %d lines", pieces, counted.bytes, counted.lines)
		}
		if err := asParquet.whole(counted, 0); err != nil {
			t.Errorf("%q: %v", pieces, err)
		}
		if err := asArrow.whole(counted, 0); err == nil {
			t.Errorf("%q is taken for Arrow", pieces)
		}
		if err := asCSV.whole(counted, 1); err != nil {
			t.Errorf("%q as CSV: %v", pieces, err)
		}
		if err := asNDJSON.whole(counted, 1); err == nil {
			t.Errorf("%q has two lines, not one", pieces)
		}
	}
	if err := asParquet.whole(&tally{}, 0); err == nil {
		t.Error("nothing is taken for Parquet")
	}
}
