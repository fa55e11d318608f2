package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"
)

func TestGenerateIsDeterministic(t *testing.T) {
	t.Parallel()
	const size = 200_000
	dir := t.TempDir()
	var files [2][]byte
	var rows [2]int64
	for i, name := range []string{"a.csv", "b.csv"} {
		path := filepath.Join(dir, name)
		var err error
		if rows[i], err = generate(path, size); err != nil {
			t.Fatal(err)
		}
		if files[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) || rows[0] != rows[1] {
		t.Error("two calls made two files")
	}
	if len(files[0]) < size || len(files[0]) > size+1000 {
		t.Errorf("the file has %d bytes, want %d and the rest of a row", len(files[0]), size)
	}
	records, err := csv.NewReader(bytes.NewReader(files[0])).ReadAll() // fails on rows of different lengths
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(records)) != rows[0]+1 || len(records[0]) != len(columns) {
		t.Errorf("the file has %d records of %d fields, want a header and %d rows of %d", len(records), len(records[0]), rows[0], len(columns))
	}
}
