package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// moving is projects under load whose links change all the time.
type moving struct {
	projects
	ids     []string
	turns   map[string]*sync.Mutex // as the queue gives them
	written map[string]*atomic.Int64
	moved   atomic.Int64 // requests that a move ended
	served  atomic.Int64
	stop    chan struct{}
}

// failed counts an error that a client repeats, and reports any other.
func (m *moving) failed(t *testing.T, what string, err error) {
	var e *sdk.Error
	switch {
	case err == nil:
		m.served.Add(1)
	case errors.As(err, &e) && e.Kind == sdk.Unavailable && e.Retryable:
		m.moved.Add(1)
	default:
		t.Errorf("%s: %v", what, err)
	}
}

func (m *moving) loop(work func()) {
	for {
		select {
		case <-m.stop:
			return
		default:
			work()
		}
	}
}

// write adds one row in a transaction of several statements.
func (m *moving) write(t *testing.T, id string) {
	m.turns[id].Lock()
	defer m.turns[id].Unlock()
	s, err := m.Session(t.Context(), m.catalog(id))
	if err == nil {
		defer s.Close()
		err = s.Transaction(func() error {
			if _, err := s.Exec(sql.New("INSERT INTO t VALUES (1), (2)")); err != nil {
				return err
			}
			_, err := s.Exec(sql.New("DELETE FROM t WHERE a = 2"))
			return err
		})
	}
	if err == nil {
		m.written[id].Add(1)
	}
	m.failed(t, "write of "+id, err)
}

// read finds at least what was written before it began.
func (m *moving) read(t *testing.T, id string) {
	least := m.written[id].Load()
	s, err := m.Session(t.Context(), m.catalog(id))
	if err == nil {
		defer s.Close()
		var enough bool
		enough, err = s.HasRows(sql.New("SELECT 1 FROM t HAVING count(*) FILTER (a = 1) > ? AND count(*) FILTER (a = 2) = 0", least))
		if err == nil && !enough {
			t.Errorf("project %s lost a write, or shows half of one", id)
		}
	}
	m.failed(t, "read of "+id, err)
}

// stream reads more than pipes hold, whole or with an error.
func (m *moving) stream(t *testing.T, id string) {
	const rows = 300_000
	s, err := m.Session(t.Context(), m.catalog(id))
	if err == nil {
		defer s.Close()
		var body io.ReadCloser
		if body, err = s.Stream(engine.Result{Statement: sql.New("SELECT 1234567 AS a FROM range(?)", rows), Format: engine.CSV}); err == nil {
			defer body.Close()
			var n int64
			if n, err = io.Copy(io.Discard, body); err == nil && n != rows*8+2 {
				t.Errorf("a stream of %d bytes ended as if it were whole", n)
			}
		}
	}
	m.failed(t, "stream of "+id, err)
}

// relink changes one link. The longer it may wait, the fewer requests it ends.
func (m *moving) relink(t *testing.T, links map[[2]int]bool) (changed bool) {
	a, b := rand.IntN(len(m.ids)), rand.IntN(len(m.ids))
	if a >= b {
		return false
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(100))*time.Millisecond)
	defer cancel()
	pair := [2]int{a, b}
	if links[pair] {
		m.Unlink(m.catalog(m.ids[a]), m.catalog(m.ids[b]))
		links[pair] = false
		return true
	}
	err := m.Link(ctx, m.catalog(m.ids[a]), m.catalog(m.ids[b]))
	if err == nil {
		links[pair] = true
	} else if !errors.Is(err, sdk.ErrTimeout) { // after which nothing has changed
		t.Error(err)
	}
	return err == nil
}

// Whatever is linked and unlinked while projects are read, written, streamed and
// closed for being idle: no request fails but for those that a client repeats, no
// write is lost, and in the end those are together who are linked.
func TestMovesUnderLoad(t *testing.T) {
	t.Parallel()
	m := moving{
		projects: openProjects(t, 30*time.Millisecond, 4, "1", "2", "3", "4", "5"), ids: []string{"1", "2", "3", "4", "5"},
		turns: map[string]*sync.Mutex{}, written: map[string]*atomic.Int64{}, stop: make(chan struct{}),
	}
	var load sync.WaitGroup
	for _, id := range m.ids {
		m.turns[id], m.written[id] = &sync.Mutex{}, &atomic.Int64{}
	}
	for _, id := range m.ids {
		for _, work := range []func(*testing.T, string){m.write, m.write, m.read, m.stream} {
			load.Go(func() { m.loop(func() { work(t, id) }) })
		}
	}
	links := map[[2]int]bool{}
	deadline, moves := time.Now().Add(30*time.Second), 0
	for moves < 40 || m.served.Load() < 60 {
		if m.relink(t, links) {
			moves++
		}
		if time.Now().After(deadline) {
			t.Errorf("after %d links only %d requests were served", moves, m.served.Load())
			break
		}
	}
	close(m.stop)
	load.Wait()
	t.Logf("%d links changed, %d requests were served, %d moved away", moves, m.served.Load(), m.moved.Load())
	for _, id := range m.ids {
		m.wantCount(t, id, "t", fmt.Sprintf(`{"n":%d}`, 1+m.written[id].Load()))
	}
	for pair, linked := range links {
		a, b := m.ids[pair[0]], m.ids[pair[1]]
		s, err := m.Session(t.Context(), m.catalog(a))
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.HasRows(sql.New("SELECT 1 FROM duckdb_databases() WHERE database_name = ?", m.catalog(b).Alias)); linked && (!ok || err != nil) {
			t.Errorf("%s and %s are linked and not together: %v", a, b, err)
		}
		s.Close()
	}
	if s := m.Stats(); s.FatalErrors > 0 {
		t.Errorf("%d fatal errors", s.FatalErrors)
	}
}
