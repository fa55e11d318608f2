package main

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// TestBench runs every benchmark once on a small file: it shows that they work,
// not how fast anything is.
func TestBench(t *testing.T) {
	t.Parallel()
	temp, err := os.MkdirTemp("", "ds") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	var stdout, stderr bytes.Buffer
	if status := start(t.Context(), []string{
		"-size-mb", "1", "-rounds", "1", "-requests", "3", "-seconds", "1", "-tables", "5", "-stream-rows", "20000", "-temp", temp,
	}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, &stdout, &stderr)
	}
	for _, want := range []string{
		"GET /health", "the plugin adds", "preview-1000 to DuckDB makes the JSON", "import-typed", "import-strings", "import-strings-default", "import-keyed",
		"upload", "export-stream", "export-file", "size of the file", "parallel-csv", "parallel-gzip", "no request failed", "5 tables of 20 columns",
		"stream-csv: 20000 rows", "linked-aggregate", "linked-export", "linked-preview", "stream-ndjson", "stream-parquet", "stream-arrow",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &stdout)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-rounds", "0"}, 2, "must be at least 1"},
		{[]string{"-only", "imports"}, 2, "is the beginning of none of health, preview"},
		{[]string{"import"}, 2, "takes no arguments"},
		{[]string{"-h"}, 0, "-size-mb"},
	} {
		var stderr bytes.Buffer
		if status := start(t.Context(), tc.args, io.Discard, &stderr); status != tc.status || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%q: status %d, want %d with %q\n%s", tc.args, status, tc.status, tc.want, &stderr)
		}
	}
}
