package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

var jsonCommands = map[string]command{
	"json": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		if len(args) == 0 || len(args) > 2 || neg && len(args) == 2 {
			ts.Fatalf("usage: json PATH [VALUE], ! json PATH")
		}
		a := j.last(ts)
		got, err := a.at(args[0])
		j.checks++
		switch {
		case neg && err == nil:
			ts.Fatalf("%s: there is %v at %s", a.request, got, args[0])
		case neg && errors.Is(err, errNothing):
			return
		case err != nil:
			ts.Fatalf("%s: %v: %s", a.request, err, a.body)
		case len(args) == 2:
			if diff := cmp.Diff(value(args[1]), got); diff != "" {
				ts.Fatalf("%s: %s (-want +got):\n%s", a.request, args[0], diff)
			}
		}
	},
	"key": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 1)
		j.keys[args[0]] = j.last(ts).text(ts, ".apiKey")
	},
	"save": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 2)
		ts.Setenv(args[0], j.last(ts).text(ts, args[1]))
	},
}

// value reads what a script wants; what is no JSON is a text.
func value(text string) any {
	v, err := parse([]byte(text))
	if err != nil {
		return text
	}
	return v
}

// text is a text of the answer that is not empty.
func (a *answer) text(ts *testscript.TestScript, path string) string {
	v, err := a.at(path)
	ts.Check(err)
	s, ok := v.(string)
	if !ok || s == "" {
		ts.Fatalf("%s: %v at %s is no text", a.request, v, path)
	}
	return s
}

func (a *answer) at(path string) (any, error) {
	doc, err := parse(a.body)
	if err != nil {
		return nil, fmt.Errorf("the answer is no JSON: %w", err)
	}
	return find(doc, path)
}

// parse reads one JSON value; numbers keep their text.
func parse(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// errNothing says that a document has nothing at a path.
var errNothing = errors.New("nothing there")

// find follows a path as jq does: .name, ["name"], [0], [] for every item.
func find(doc any, path string) (any, error) {
	for rest := path; rest != "" && rest != "."; {
		step, tail, err := cut(rest)
		if err != nil {
			return nil, err
		}
		if step == "[]" {
			return findAll(doc, path, tail)
		}
		next, ok := child(doc, step)
		if !ok {
			return nil, fmt.Errorf("%s: no %s: %w", path, step, errNothing)
		}
		doc, rest = next, tail
	}
	return doc, nil
}

func findAll(doc any, path, tail string) (any, error) {
	items, ok := doc.([]any)
	if !ok {
		return nil, fmt.Errorf("%s: [] of what is no list: %w", path, errNothing)
	}
	out := make([]any, len(items))
	for i, item := range items {
		var err error
		if out[i], err = find(item, tail); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// cut takes the first step from a path: [], or the name of a member or the index
// of an item, plain.
func cut(path string) (step, tail string, err error) {
	if inner, ok := strings.CutPrefix(path, `["`); ok {
		name, tail, ok := strings.Cut(inner, `"]`)
		if ok {
			return name, tail, nil
		}
	} else if inner, ok := strings.CutPrefix(path, "["); ok {
		index, tail, ok := strings.Cut(inner, "]")
		if ok && index == "" {
			return "[]", tail, nil
		}
		if _, err := strconv.Atoi(index); ok && err == nil {
			return index, tail, nil
		}
	} else if name, ok := strings.CutPrefix(path, "."); ok {
		if strings.HasPrefix(name, "[") {
			return cut(name)
		}
		if end := strings.IndexAny(name, ".["); end >= 0 {
			name, tail = name[:end], name[end:]
		}
		if name != "" {
			return name, tail, nil
		}
	}
	return "", "", fmt.Errorf("%q is no path", path)
}

func child(doc any, step string) (any, bool) {
	switch d := doc.(type) {
	case map[string]any:
		v, ok := d[step]
		return v, ok
	case []any:
		if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(d) {
			return d[i], true
		}
	}
	return nil, false
}

func TestFind(t *testing.T) {
	t.Parallel()
	const doc = `{"a":[{"b":1},{"b":2}],"/x.y":{"null":null},"e":[]}`
	for _, test := range []struct{ path, want string }{
		{"", doc},
		{".", doc},
		{".a[1].b", "2"},
		{".a[].b", "[1,2]"},
		{".e", "[]"},
		{".e[].b", "[]"},
		{`.["/x.y"]["null"]`, "null"},
		{`.["/x.y"].null`, "null"},
		{".a[2]", ""},
		{".a[].c", ""},
		{".a.b", ""},
		{".c", ""},
	} {
		got, err := find(value(doc), test.path)
		if test.want == "" {
			if !errors.Is(err, errNothing) {
				t.Errorf("%s: got %v, %v, want nothing", test.path, got, err)
			}
			continue
		}
		if diff := cmp.Diff(value(test.want), got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", test.path, err, diff)
		}
	}
	for _, path := range []string{"a", "..a", "[x]", `["a`, ".a["} {
		if _, err := find(value(doc), path); err == nil || errors.Is(err, errNothing) {
			t.Errorf("%q: %v, want an error that it is no path", path, err)
		}
	}
}
