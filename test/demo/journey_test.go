package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// tempDir is short, for the sockets of a service below it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestDemo(t *testing.T) {
	t.Parallel()
	temp := tempDir(t)
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-rows", "3000", "-temp", temp}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, &stdout, &stderr)
	}
	for _, want := range []string{"3,000 rows, 24,000 values, no difference", "2024-12", "OK: every row and every figure is as it was"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &stdout)
		}
	}
	if strings.ContainsRune(stdout.String(), '\x1b') {
		t.Error("the report has escape codes")
	}
	wantEmpty(t, temp)
}

func TestDemoKeepsItsFiles(t *testing.T) {
	t.Parallel()
	temp := tempDir(t)
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-rows", "1", "-keep", "-temp", temp}, &stdout, &stderr); status != 0 {
		t.Fatalf("status %d\n%s\n%s", status, &stdout, &stderr)
	}
	kept, err := filepath.Glob(filepath.Join(temp, "*", "orders_text.csv"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if dir := filepath.Dir(kept[0]); !strings.Contains(stdout.String(), "serve --data-dir "+dir) {
		t.Errorf("the report does not say how to look at %s:\n%s", dir, &stdout)
	}
}

// TestCheckFindsDifferences changes a value behind the journey's back. What
// changes the figures shows in the query already, the rest in the exported file.
func TestCheckFindsDifferences(t *testing.T) {
	t.Parallel()
	const rows = 2000 // more than a preview shows
	dir := tempDir(t)
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	bin, err := service.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	j := &journey{dir: dir, rows: rows, out: &report{w: io.Discard}}
	if err := j.start(t.Context(), service.Options{Bin: bin, DataDir: data}); err != nil {
		t.Fatal(err)
	}
	defer j.service.Kill()
	if err := j.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, sql, want string
		table           table
	}{
		{"NULL becomes empty", `SET note = '' WHERE id = (SELECT max(id) FROM T WHERE note IS NULL)`, `compare: 1 differences:`, table{"nulls", true}},
		{"microsecond", `SET ordered_at = ordered_at + INTERVAL 1 MICROSECOND WHERE id = 1999`, "compare: 1 differences:\n  row 1999, column ordered_at", table{"times", true}},
		{"spelling of a text", `SET weight = weight || '0' WHERE id = '1999'`, "compare: 1 differences:\n  row 1999, column weight", table{"spellings", false}},
		{"cent", `SET amount = amount + 0.01 WHERE id = (SELECT max(id) FROM T WHERE paid)`, "query: the query answered", table{"cents", true}},
		{"every value", `SET customer = 'x'`, "preview: 100 differences", table{"all", true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := j.load(t.Context(), tc.table); err != nil {
				t.Fatal(err)
			}
			name := `"` + bucket + `"."` + tc.table.name + `"`
			if _, err := j.project.Query(t.Context(), "UPDATE "+name+" "+strings.ReplaceAll(tc.sql, " T ", " "+name+" ")); err != nil {
				t.Fatal(err)
			}
			if err := j.check(t.Context(), tc.table); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := j.service.Stop(); err != nil {
		t.Error(err)
	}
}

func TestInterruptEndsCleanly(t *testing.T) {
	t.Parallel()
	temp := tempDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	stdout := &trigger{at: "  import", then: cancel}
	var stderr bytes.Buffer
	status := run(ctx, []string{"-rows", "20000", "-temp", temp}, stdout, &stderr)
	if status != exitInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("status %d, want %d\n%s\n%s", status, exitInterrupted, &stdout.buf, &stderr)
	}
	wantEmpty(t, temp)
}

// trigger calls then when a text is written.
type trigger struct {
	buf  bytes.Buffer
	at   string
	then func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), w.at) {
		w.then()
	}
	return w.buf.Write(p)
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-rows", "0"}, exitUsage, "-rows must be at least 1"},
		{[]string{"orders.csv"}, exitUsage, "takes no arguments"},
		{[]string{"-colour"}, exitUsage, "flag provided but not defined"},
		{[]string{"-h"}, 0, "-keep"},
		{[]string{"-bin", "no/such/folder"}, exitDiffers, "no such file"},
	} {
		var stderr bytes.Buffer
		if status := run(t.Context(), tc.args, io.Discard, &stderr); status != tc.status || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%q: status %d, want %d with %q\n%s", tc.args, status, tc.status, tc.want, &stderr)
		}
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
