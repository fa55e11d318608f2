package crash_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	shortPluginRounds = 8
	// killsOfOneRun is below the five deaths after which a plugin stays down.
	killsOfOneRun = 4
	// pluginWork is the latest moment of a kill that is to find the plugin at work;
	// after that the host does what the plan says.
	pluginWork = 5 * time.Millisecond
	// importWork is about how long an import takes.
	importWork = 150 * time.Millisecond
)

// excuse is the problem that a client may get when a plugin is killed while it has
// written nothing, as these handlers do: the next process was not there in time.
const excuse = "plugin-unavailable"

// askedAgain is what the host logs when the plugin died during a call that had
// written nothing: it asks the next process, and the client does not notice.
const askedAgain = "asking again after a plugin died"

// The plugin of tables is killed while it imports. The client gets the result, from
// the next process; the table holds all rows; the next request is served.
func TestPlugin(t *testing.T) {
	seed, rounds := seed(t), rounds(t, shortPluginRounds)
	dir, moments := dataDir(t), random(seed, 10)
	files := newShelf()
	w := newImports(files, "plain")
	c := prepare(t, dir, map[string]work{"import": w})
	var s *service.Service
	var log transcript
	hit, answered := 0, 0
	for round := range rounds {
		if round%killsOfOneRun == 0 {
			s = restart(t, s, dir, &log)
			c = c.at(s)
		}
		latest := pluginWork
		if round%2 == 1 {
			latest = importWork
		}
		before := log.count(askedAgain)
		got, err := killPlugin(t, s, c, w, between(moments, latest))
		if err != nil {
			t.Fatalf("kill %d (CRASH_SEED=%d): %v\n%s", round+1, seed, err, events(s))
		}
		if got.problems > 0 || log.count(askedAgain) > before {
			hit++
		}
		if got.imported {
			answered++
		}
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := checkDisk(dir, map[string]map[string]file{mainProject: files.rows()}); err != nil {
		t.Error(err)
	}
	t.Logf("survived %d kills of a plugin; %d of them hit running work; %d of the imports were done all the same", rounds, hit, answered)
	if hit == 0 {
		t.Error("no kill hit running work: this test has shown nothing")
	}
}

func restart(t *testing.T, s *service.Service, dir string, log io.Writer) *service.Service {
	t.Helper()
	if s != nil {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, dir, log)
}

// transcript is all of a log.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// count returns how often the log has a text.
func (l *transcript) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(text))
}

// outcome is what clients saw of a kill.
type outcome struct {
	imported bool
	problems int
}

// killPlugin kills the plugin so long after an import and other requests began.
func killPlugin(t *testing.T, s *service.Service, c clients, w *imports, after time.Duration) (outcome, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	pid, err := s.PluginPID("tables")
	if err != nil {
		return outcome{}, err
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return outcome{}, err
	}
	imported, read, killed := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { imported <- w.step(ctx, c) }()
	go func() { read <- readOn(ctx, c, killed) }()
	timer := time.NewTimer(after)
	defer timer.Stop()
	<-timer.C
	err = process.Kill()
	close(killed)
	importErr, readErr := <-imported, <-read
	if err != nil {
		return outcome{}, fmt.Errorf("kill: %w", err)
	}
	got := outcome{imported: importErr == nil}
	for _, err := range []error{importErr, readErr} {
		if err == nil {
			continue
		}
		got.problems++
		if !service.IsProblem(err, excuse) {
			return got, fmt.Errorf("a killed plugin does not excuse this: %w", err)
		}
	}
	// The next request is served and finds all rows or the old ones.
	if _, err := c.main.Do(ctx, http.MethodGet, c.main.Path("tables", w.bucket(), w.table), nil, nil); err != nil {
		return got, fmt.Errorf("the next request: %w", err)
	}
	return got, w.check(ctx, c)
}

// readOn looks at a table until the plugin was killed, and returns the first
// problem.
func readOn(ctx context.Context, c clients, killed <-chan struct{}) error {
	for {
		if _, err := c.main.Do(ctx, http.MethodGet, c.main.Path("tables"), nil, nil); err != nil {
			return err
		}
		select {
		case <-killed:
			return nil
		default:
		}
	}
}
