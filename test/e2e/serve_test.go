package e2e_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

var serviceCommands = map[string]command{
	"serve": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		if j.service != nil && !neg {
			ts.Fatalf("the service runs already")
		}
		s, err := j.start(ts, args)
		if neg {
			if err == nil {
				ts.Check(s.Stop())
				ts.Fatalf("the service started")
			}
			j.checks++
			fmt.Fprintln(ts.Stderr(), err)
			return
		}
		ts.Check(err)
		j.run(ts, s, args)
	},
	"restart": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 0)
		ts.Check(j.stop())
		s, err := j.start(ts, j.flags)
		ts.Check(err)
		j.run(ts, s, j.flags)
	},
	"shutdown": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 0)
		s := j.running(ts)
		ts.Check(j.stop())
		fmt.Fprintf(ts.Stdout(), "%s", s.Output())
		j.checks++
	},
	"crash": func(j *journey, ts *testscript.TestScript, neg bool, args []string) {
		plain(ts, neg, args, 0)
		ts.Check(j.running(ts).Kill())
		j.service = nil
	},
}

// start starts a service on $DATA with the settings of the script.
func (j *journey) start(ts *testscript.TestScript, flags []string) (*service.Service, error) {
	return service.Start(context.Background(), service.Options{
		Bin: bin, DataDir: j.data, Env: settings(ts), Args: flags, Stderr: j.log,
	})
}

// settings are the variables of the script that are settings of the service.
func settings(ts *testscript.TestScript) []string {
	// A script can be asked for one variable, but not for all of them, nor
	// whether one is there and empty.
	ts.Check(ts.Exec("sh", "-c", "env | grep ^DUCKDB_STORAGE_ || true"))
	return strings.FieldsFunc(ts.ReadFile("stdout"), func(r rune) bool { return r == '\n' })
}

// run makes a started service the one that the script talks to.
func (j *journey) run(ts *testscript.TestScript, s *service.Service, flags []string) {
	j.service, j.flags = s, flags
	j.keys["admin"] = s.AdminKey
	ts.Setenv("URL", s.URL())
	ts.Setenv("ADDRESS", strings.TrimPrefix(s.URL(), "http://"))
	ts.Setenv("PID", strconv.Itoa(s.PID()))
	fmt.Fprintf(ts.Stdout(), "%s", s.Output())
}

// running returns the service, which must run.
func (j *journey) running(ts *testscript.TestScript) *service.Service {
	if j.service == nil {
		ts.Fatalf("the service does not run; serve first")
	}
	return j.service
}

// stop stops the service in order if it runs.
func (j *journey) stop() error {
	if j.service == nil {
		return nil
	}
	s := j.service
	j.service = nil
	return s.Stop()
}

// plain refuses a "!" and any number of arguments but n.
func plain(ts *testscript.TestScript, neg bool, args []string, n int) {
	if neg {
		ts.Fatalf("this command takes no !")
	}
	if len(args) != n {
		ts.Fatalf("want %d arguments, got %d: %q", n, len(args), args)
	}
}
