package main

import (
	"bytes"
	"encoding/csv"
	"testing"
)

func TestSmallCSV(t *testing.T) {
	t.Parallel()
	records, err := csv.NewReader(bytes.NewReader(smallCSV())).ReadAll() // fails on rows of different lengths
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 1+long || len(records[0]) != wide {
		t.Errorf("the file has %d records of %d fields, want a header and %d rows of %d", len(records), len(records[0]), long, wide)
	}
}
