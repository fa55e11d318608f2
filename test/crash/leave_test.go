package crash_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// A client leaves a stream at the moment at which DuckDB opens the pipe for it, and
// the host lets go of its end first. Opening a pipe that nobody reads waits for ever,
// and with it would the project.
func TestLeaveBeforePipe(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	dir, err := filepath.EvalSymlinks(st.dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithTimeout(t.Context(), requestTimeout)
	defer leave()
	opening, opens := make(chan struct{}), 0
	st.control.watchPipes(func(op faults.Op) {
		if op.Kind != faults.Open && op.Kind != faults.Create {
			return
		}
		if opens++; opens != 2 { // the first one is the host's own end
			return
		}
		close(opening)
		leave()
		waitAlone(t, st.service, filepath.Join(dir, op.Path))
	})
	left := make(chan error, 1)
	go func() { left <- stream(ctx, st.project) }()
	select {
	case <-opening:
	case <-time.After(requestTimeout):
		t.Fatal("the stream opened no pipe")
	}
	if err := <-left; err == nil {
		t.Error("a client that left was answered")
	}
	drop, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	if _, err := st.service.Admin().Do(drop, http.MethodDelete, st.project.Path(), nil, nil); err != nil {
		t.Fatalf("the project cannot be dropped: %v\n%s", err, events(st.service))
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
}

// stream asks for a table as CSV.
func stream(ctx context.Context, p service.Project) error {
	header := http.Header{"Accept": {"text/csv"}, "Content-Type": {"application/json"}}
	resp, err := p.Send(ctx, http.MethodPost, p.Path("tables", "in.c-main", "orders", "export"), header, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// waitAlone waits until the host has one descriptor of a pipe, and not its reading end
// as well.
func waitAlone(t *testing.T, s *service.Service, pipe string) {
	t.Helper()
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.PID()))
		if err != nil {
			t.Error(err)
			return
		}
		ends := 0
		for _, fd := range open {
			if path, err := os.Readlink(fd); err == nil && strings.TrimSuffix(path, " (deleted)") == pipe {
				ends++
			}
		}
		if ends < 2 {
			return
		}
		select {
		case <-poll.C:
		case <-deadline.C: // it keeps its end: then the pipe has a reader
			return
		}
	}
}
