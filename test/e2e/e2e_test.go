// Package e2e_test plays the journeys in testdata: what a client does over HTTP
// and what it gets, against the real binary with its plugins. Each journey is a
// script that reads as documentation; start with testdata/main-job.txtar.
//
// A script is a list of commands, then the files it uses. It has a data directory
// of its own, $DATA, and finds the binaries in $BIN. The log of the service is in
// service.log. These are the commands beside those of testscript
// (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript):
//
//	serve [flag...]        start the service on $DATA; settings by env DUCKDB_STORAGE_…=…
//	                       what it printed is in stdout; $URL, $ADDRESS (host:port) and
//	                       $PID are set
//	                       "! serve" wants it refused and leaves the reason in stderr
//	restart                stop it in order and start it again with the same flags
//	shutdown               stop it in order: SIGTERM, exit status 0; all that it printed
//	                       is in stdout
//	crash                  kill it: SIGKILL
//
//	http METHOD PATH [-key NAME] [-accept TYPE] [-header 'Name: value']... [-body TEXT|@FILE]
//	                       send a request, with the admin key unless said otherwise
//	                       (-key none sends none); the body of the answer is in stdout
//	status CODE            the answer is this success
//	problem STATUS SLUG CODE [DETAIL]
//	                       the answer is this error, complete as the API promises;
//	                       DETAIL is a part of its detail
//	header NAME VALUE      the answer has this header
//	json PATH [VALUE]      the answer has there this JSON value (what is no JSON is a text),
//	                       or just any; "! json PATH" wants nothing there
//	key NAME               keep .apiKey of the answer as the key NAME
//	save VARIABLE PATH     keep a text of the answer as $VARIABLE
//
// A PATH is as in jq: .items[0].name, .items[].name for all of them,
// .paths["/health"].
//
// The answer of every request must be checked by status or problem, and must be as
// /openapi.json says. A script must check something, and the service may not log an
// error.
package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// bin is what the tests run.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

func TestJourneys(t *testing.T) {
	t.Parallel()
	commands := map[string]func(*testscript.TestScript, bool, []string){}
	for _, c := range []map[string]command{serviceCommands, httpCommands, jsonCommands} {
		for name, run := range c {
			commands[name] = func(ts *testscript.TestScript, neg bool, args []string) {
				run(ts.Value(journeyKey{}).(*journey), ts, neg, args)
			}
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata", Setup: setup, Cmds: commands, RequireUniqueNames: true,
	})
}

// start starts a service for a test that is no script. It is killed with the test.
func start(t *testing.T, settings ...string) *service.Service {
	t.Helper()
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: dataDir(t), Env: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// dataDir is a directory for the data of one test. Its path is short, because
// sockets are in it.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// command is a command of this package.
type command func(j *journey, ts *testscript.TestScript, neg bool, args []string)

// journey is the state of one script.
type journey struct {
	data     string
	log      *os.File         // of every service of the script
	service  *service.Service // nil unless it runs
	contract *contract        // of a service
	flags    []string         // of the last serve
	keys     map[string]string

	answer    *answer // the last one
	unchecked string  // the request whose answer nobody has looked at
	checks    int
}

type journeyKey struct{}

func setup(env *testscript.Env) error {
	data, err := os.MkdirTemp("", "ds") // short, because sockets are in it
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(env.WorkDir, "service.log"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(data))
	}
	j := &journey{data: data, log: log, keys: map[string]string{"none": ""}}
	env.Setenv("DATA", data)
	env.Setenv("BIN", bin)
	env.Values[journeyKey{}] = j
	env.Defer(func() {
		defer os.RemoveAll(data)
		defer log.Close()
		err := j.end()
		// A script that failed stopped in the middle: that it checks too little
		// would only hide why.
		if t, ok := env.T().(interface{ Failed() bool }); ok && t.Failed() {
			return
		}
		if err != nil {
			env.T().Fatal(err)
		}
	})
	return nil
}

// end stops what still runs and checks what every script must keep to.
func (j *journey) end() error {
	if err := j.stop(); err != nil {
		return err
	}
	if j.unchecked != "" {
		return fmt.Errorf("the answer of %s was not checked", j.unchecked)
	}
	if j.checks == 0 {
		return fmt.Errorf("the script checks nothing")
	}
	lines, err := os.ReadFile(j.log.Name())
	if err != nil {
		return err
	}
	for line := range bytes.Lines(lines) {
		if bytes.Contains(line, []byte(`"@level":"error"`)) {
			return fmt.Errorf("the service logged an error: %s", line)
		}
	}
	return nil
}
