package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
)

// They are tested from inside: a pipe decides by itself how it cuts what a
// plugin prints.
func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxEntryBytes)
	tests := map[string]struct{ writes, want []string }{
		"nothing":               {nil, nil},
		"empty lines":           {[]string{"\n\n"}, nil},
		"a line in two writes":  {[]string{"one ", "line\n"}, []string{"one line"}},
		"two lines in a write":  {[]string{"one\ntwo\n"}, []string{"one", "two"}},
		"a last line unended":   {[]string{"one\ntwo"}, []string{"one", "two"}},
		"a line that is cut":    {[]string{long, "more", "\nnext\n"}, []string{long, "next"}},
		"cut in a single write": {[]string{long + "more\nnext\n"}, []string{long, "next"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			w := &lines{emit: func(line []byte) { got = append(got, string(line)) }}
			for _, s := range test.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Errorf("wrote %d of %d bytes, %v", n, len(s), err)
				}
			}
			w.flush()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What hclog writes keeps its level and its fields, however long its message is, up
// to a bound; a longer line, and one that is no entry, is one line of text.
func TestLongLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ž", 100<<10) // 200 KiB
	for name, tc := range map[string]struct{ line, level, request string }{
		"an entry":            {`{"@level":"warn","@message":"` + long + `","request_id":"r1"}`, "warn", "r1"},
		"a long field":        {`{"@level":"error","@message":"short","request_id":"r1","value":"` + long + `"}`, "error", "r1"},
		"over the bound":      {`{"@level":"warn","@message":"` + strings.Repeat(long, 6) + `","request_id":"r1"}`, "info", ""},
		"a text":              {long, "info", ""},
		"a text over a bound": {strings.Repeat(long, 6), "info", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			o := &output{log: hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true, Level: hclog.Trace})}
			w := &lines{emit: o.line}
			if _, err := w.Write([]byte(tc.line + "\n")); err != nil {
				t.Fatal(err)
			}
			var entry map[string]any
			d := json.NewDecoder(&log)
			if err := d.Decode(&entry); err != nil || d.More() {
				t.Fatalf("not one entry: %v", err)
			}
			if request, _ := entry["request_id"].(string); entry["@level"] != tc.level || request != tc.request {
				t.Errorf("level %v, request %q", entry["@level"], request)
			}
			for member, value := range entry {
				if text, _ := value.(string); len(text) > maxLineBytes+100 || strings.Contains(text, "\uFFFD") && tc.request != "" {
					t.Errorf("%s has %d bytes", member, len(text))
				}
			}
		})
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	o := &output{log: hclog.NewNullLogger()}
	number := func(from, to int) (lines []string) {
		for i := from; i <= to; i++ {
			lines = append(lines, fmt.Sprint("line ", i))
		}
		return lines
	}
	print := func(lines []string) {
		for _, l := range lines {
			o.line([]byte(l))
		}
	}

	print(number(1, tailLines+5))
	if diff := cmp.Diff(number(6, tailLines+5), o.tail()); diff != "" {
		t.Error(diff)
	}

	print([]string{"panic: boom"})
	print(number(100, 200))
	want := append(number(46, 55), "panic: boom")
	want = append(want, number(100, 138)...)
	if diff := cmp.Diff(want, o.tail()); diff != "" {
		t.Error(diff)
	}

	o = &output{log: hclog.NewNullLogger()}
	print([]string{strings.Repeat("x", tailLineBytes+1)})
	if got := len(o.tail()[0]); got != tailLineBytes {
		t.Errorf("%d bytes of a line are kept", got)
	}
}

// A plugin prints what it likes: no line ends the host.
func FuzzOutput(f *testing.F) {
	for _, line := range []string{
		"", "null", "{", `{"@message":1}`, `{"@message":"m","@level":2}`, `{"@message":"m","@level":"info","@timestamp":[]}`,
		`{"@message":"m","@level":"off"}`, "panic: \xff", `{"@message":"m","@level":"error","k":{"a":[1e999]}}`,
	} {
		f.Add([]byte(line))
	}
	o := &output{log: hclog.New(&hclog.LoggerOptions{Output: io.Discard, JSONFormat: true})}
	f.Fuzz(func(t *testing.T, line []byte) {
		o.line(line)
		if len(o.tail()) == 0 {
			t.Error("the line is not kept")
		}
	})
}
