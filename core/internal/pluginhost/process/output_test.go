package process

import (
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
	long := strings.Repeat("x", maxLineBytes)
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
