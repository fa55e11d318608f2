// Package crash_test kills the service and its plugins in the middle of work, makes
// operations on its files fail, and checks what docs/ARCHITECTURE.md promises: what
// was acknowledged is there, what was not is there whole or not at all, and nothing
// is left over.
//
// Start with [TestHost], which kills the host at random moments, [TestPlugin], which
// kills a plugin, and [TestMishaps], which kills the host at named operations on
// files and lets such operations fail. What clients do meanwhile is a work, one in
// each file; what is on disk afterwards is looked through by checkDisk. [TestGolden]
// shows which operations there are, in which order, as text.
//
// CRASH_ROUNDS=n makes n kills of each kind at random moments instead of a few. The
// seed is printed, and CRASH_SEED=seed draws the same ones again. They do not find
// the service at the same statement each time, though. FAULT_ROUNDS=n, from 2, has
// mishaps at n places of every operation instead of one of most.
//
// Tests that supervise the service are skipped where the kernel does not let them;
// FAULTS_REQUIRED=1 makes that a failure.
package crash_test

import (
	"context"
	"flag"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

const (
	// requestTimeout ends a request that hangs.
	requestTimeout = time.Minute
	// mainProject is the project that all works but that of projects share.
	mainProject = "main"
)

// bin is what the tests run.
var bin string

var letGo = []string{"DUCKDB_STORAGE_ENGINE__IDLE=20ms", "DUCKDB_STORAGE_ENGINE__MAX_OPEN=1"}

func TestMain(m *testing.M) {
	faults.Launch()
	flag.Parse()
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// rounds is how many kills a test makes.
func rounds(t *testing.T, short int) int {
	t.Helper()
	return int(number(t, "CRASH_ROUNDS", uint64(short)))
}

// seed starts the random moments of a test.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := number(t, "CRASH_SEED", uint64(time.Now().UnixNano()))
	t.Logf("CRASH_SEED=%d", s)
	return s
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		t.Fatalf("%s must be a number from 1, not %q", variable, text)
	}
	return n
}

// random is a source of its own for each part of a test, so that the moments of
// one do not depend on how often another one draws.
func random(seed uint64, part int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(part))) }

// between draws a time from 0 to most.
func between(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

// dataDir is a data directory that is removed with the test, unless it failed.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds") // short, because sockets are in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the data directory is left in %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return dir
}

// start starts the service; log gets its log and may be nil. It lets go of projects
// at once, so that some kills find one that is being opened or closed.
func start(t *testing.T, dir string, log io.Writer) *service.Service {
	t.Helper()
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: dir, Stderr: log, Env: letGo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// waitGone waits until the processes have ended: they must not outlive the host.
func waitGone(t *testing.T, pids []int) {
	t.Helper()
	if len(pids) == 0 {
		t.Fatal("the service had no plugins")
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for _, pid := range pids {
		for service.Alive(pid) {
			select {
			case <-poll.C:
			case <-deadline.C:
				t.Fatalf("plugin process %d outlives the host", pid)
			}
		}
	}
}
