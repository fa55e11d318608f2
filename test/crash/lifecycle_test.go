package crash_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// The service meets failures and kills while it starts and stops. It starts or says
// why not; what it had acknowledged is there at the next start.
func TestStartAndStop(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	dir := dataDir(t)
	s, control := supervised(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 2*requestTimeout)
	defer cancel()
	w, main := prepareInserts(ctx, t, s, mainProject)
	control.take()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	stops := distinct(control.take())
	s, control = supervised(t, dir)
	starts := distinct(control.take())
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}

	ways := []func(string) []mishap{failing}
	if faultRounds(t) > 1 {
		ways = append(ways, killing)
	} else {
		// The other registry is treated like this one.
		asBefore := func(op string) bool { return strings.Contains(op, "metadata/files.duckdb") }
		starts, stops = slices.DeleteFunc(starts, asBefore), slices.DeleteFunc(stops, asBefore)
	}
	refused, started, stopped := 0, 0, map[string]int{}
	for _, way := range ways {
		for _, op := range starts {
			m := way(op)[0]
			m.op, m.nth = op, 1
			served, err := startWith(t, dir, m)
			if err != nil {
				t.Errorf("start with %s: %v", m, err)
			}
			if served {
				started++
			} else {
				refused++
			}
		}
		for _, op := range stops {
			m := way(op)[0]
			m.op, m.nth = op, 1
			s, control := supervised(t, dir)
			if err := errors.Join(w.check(ctx, main.at(s)), w.step(ctx, main.at(s))); err != nil {
				t.Fatalf("before a stop with %s: %v\n%s", m, err, events(s))
			}
			control.await(m)
			stopped[ending(s.Stop())]++
		}
	}
	s, _ = supervised(t, dir)
	if err := w.check(ctx, main.at(s)); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := checkDisk(dir, map[string]map[string]file{mainProject: nil}); err != nil {
		t.Error(err)
	}
	t.Logf("survived mishaps at %d starts, %d of which were refused, and at %d stops, which ended with %v", started+refused, refused, len(stops)*len(ways), stopped)
}

// distinct are the operations of a list, each once, without marks.
func distinct(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// startWith starts the service with a mishap. It must serve, or end and say why.
func startWith(t *testing.T, dir string, m mishap) (served bool, err error) {
	t.Helper()
	c := newControl(t, dir)
	c.await(m)
	s, err := service.Start(t.Context(), c.options(nil))
	if err == nil {
		return true, s.Stop()
	}
	first, said, _ := strings.Cut(err.Error(), "\n")
	switch {
	case !strings.HasPrefix(first, "the service ended before it served"):
		return false, err
	case m.name != "SIGKILL" && !strings.Contains(said, "duckdb-storage: "):
		return false, fmt.Errorf("it does not say why: %w", err)
	}
	return false, nil
}

// ending is how a stop ended, in a word.
func ending(err error) string {
	if err == nil {
		return "status 0"
	}
	return err.Error()
}
