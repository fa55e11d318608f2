package e2e_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// requestTimeout ends a request that hangs; all of a script take a second.
const requestTimeout = time.Minute

// answer is what came back for a request.
type answer struct {
	request string // method and path, for messages
	path    string // as it was sent, without the query
	status  int
	header  http.Header
	body    []byte
}

var httpCommands = map[string]command{
	"http": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		if neg {
			ts.Fatalf("this command takes no !; use problem")
		}
		if j.unchecked != "" {
			ts.Fatalf("the answer of %s was not checked", j.unchecked)
		}
		j.answer = j.send(ts, args)
		ts.Check(j.kept(args[0], j.answer))
		j.unchecked = j.answer.request
		_, err := ts.Stdout().Write(j.answer.body)
		ts.Check(err)
	},
	"status": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 1)
		a := j.look(ts)
		if want := number(ts, args[0]); a.status != want || a.status >= 400 {
			ts.Fatalf("%s: status %d, want the success %d: %s", a.request, a.status, want, a.body)
		}
		j.checks++
	},
	"header": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 2)
		a := j.last(ts)
		if got := strings.Join(a.header.Values(args[0]), ", "); got != args[1] {
			ts.Fatalf("%s: header %s is %q, want %q", a.request, args[0], got, args[1])
		}
		j.checks++
	},
	"problem": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		if len(args) == 3 {
			args = append(args, "")
		}
		plain(ts, neg, args, 4)
		a := j.look(ts)
		if err := a.problem(number(ts, args[0]), args[1], number(ts, args[2]), args[3]); err != nil {
			ts.Fatalf("%s: %v", a.request, err)
		}
		j.checks++
	},
}

// send sends the request that the arguments of http describe.
func (j *journey) send(ts *testscript.TestScript, args []string) *answer {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD PATH [-key NAME] [-accept TYPE] [-header 'Name: value'] [-body TEXT|@FILE]")
	}
	method, path, flags := args[0], args[1], args[2:]
	key, header, body := "admin", http.Header{}, []byte(nil)
	for ; len(flags) > 0; flags = flags[2:] {
		if len(flags) == 1 {
			ts.Fatalf("flag %s has no value", flags[0])
		}
		switch value := flags[1]; flags[0] {
		case "-key":
			key = value
		case "-accept":
			header.Set("Accept", value)
		case "-header":
			name, text, ok := strings.Cut(value, ": ")
			if !ok {
				ts.Fatalf("header %q is not Name: value", value)
			}
			header.Set(name, text)
		case "-body":
			if file, ok := strings.CutPrefix(value, "@"); ok {
				body = []byte(ts.ReadFile(file))
				break
			}
			body = []byte(value)
			if header.Get("Content-Type") == "" {
				header.Set("Content-Type", "application/json")
			}
		default:
			ts.Fatalf("unknown flag %s", flags[0])
		}
	}
	secret, ok := j.keys[key]
	if !ok {
		ts.Fatalf("there is no key %q", key)
	}
	client := service.Client{URL: j.running(ts).URL(), Key: secret}
	return exchange(ts, client, method, path, header, body)
}

func exchange(ts *testscript.TestScript, client service.Client, method, path string, header http.Header, body []byte) *answer {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	target, err := url.Parse(path)
	ts.Check(err)
	resp, err := client.Send(ctx, method, path, header, content)
	ts.Check(err)
	defer resp.Body.Close()
	a := &answer{request: method + " " + path, path: target.EscapedPath(), status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	ts.Check(err)
	return a
}

// last is the answer of the last request.
func (j *journey) last(ts *testscript.TestScript) *answer {
	if j.answer == nil {
		ts.Fatalf("there was no request yet")
	}
	return j.answer
}

// look is last for a command that sees whether the request went well.
func (j *journey) look(ts *testscript.TestScript) *answer {
	j.unchecked = ""
	return j.last(ts)
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}
