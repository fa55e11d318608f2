package engine_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func (p projects) link(t *testing.T, a, b string) {
	t.Helper()
	if err := p.Link(t.Context(), p.catalog(a), p.catalog(b)); err != nil {
		t.Fatal(err)
	}
}

func (p projects) unlink(a, b string) { p.Unlink(p.catalog(a), p.catalog(b)) }

// view makes a view in one project that reads the table of another.
func (p projects) view(t *testing.T, in, of string) {
	t.Helper()
	if err := p.exec(t.Context(), in, "CREATE OR REPLACE VIEW v"+of+" AS SELECT * FROM "+p.catalog(of).Alias+".main.t"); err != nil {
		t.Fatal(err)
	}
}

func (p projects) count(ctx context.Context, id, from string) (string, error) {
	s, err := p.Session(ctx, p.catalog(id))
	if err != nil {
		return "", err
	}
	defer s.Close()
	rows, err := s.Objects(sql.New("SELECT count(*) AS n FROM ?", sql.Name(from)), 1, 100)
	if err != nil {
		return "", err
	}
	return string(rows[0]), nil
}

func (p projects) wantCount(t *testing.T, id, from, want string) {
	t.Helper()
	if got, err := p.count(t.Context(), id, from); err != nil || got != want {
		t.Errorf("%s of project %s: got %s, %v; want %s", from, id, got, err, want)
	}
}

func wantRetryable(t *testing.T, err error) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != sdk.Unavailable || !e.Retryable {
		t.Errorf("got %v, want an error that can be retried", err)
	}
}

// A view of a linked catalog reads what is there now, also after a restart, and
// only as long as the link holds.
func TestLinkedViewIsLive(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	p.link(t, "1", "2")
	p.view(t, "1", "2")
	p.wantCount(t, "1", "v2", `{"n":1}`)
	if err := p.exec(t.Context(), "2", "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	p.wantCount(t, "1", "v2", `{"n":2}`)
	if s := p.Stats(); s.Cells != 1 || s.Catalogs != 2 {
		t.Errorf("open are %+v", s)
	}

	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := projects{engine.Open(engine.Config{Layout: p.layout, Logger: hclog.NewNullLogger(), Threads: 1}), p.layout}
	defer again.Close(context.Background())
	again.link(t, "2", "1")
	if s := again.Stats(); s.Cells != 0 {
		t.Errorf("a link opened %d cells", s.Cells)
	}
	again.wantCount(t, "1", "v2", `{"n":2}`)

	again.unlink("1", "2")
	again.wantCount(t, "1", "v2", `{"n":2}`) // until the cell closes by itself
	if err := again.Reopen(t.Context(), again.catalog("2")); err != nil {
		t.Fatal(err)
	}
	got, err := again.count(t.Context(), "1", "v2")
	if !errors.Is(err, sdk.ErrUnavailable) || !strings.Contains(err.Error(), "linked from") {
		t.Errorf("without the link it reads %s, %v", got, err)
	}
	again.wantCount(t, "1", "t", `{"n":1}`)
	again.wantCount(t, "2", "t", `{"n":2}`)
	if s := again.Stats(); s.Cells != 2 || s.Catalogs != 2 {
		t.Errorf("open are %+v", s)
	}
}

// Who parts disturbs nobody; a link of one that has parted moves all that it was with.
func TestUnlinkBesideSessions(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2")
	p.view(t, "1", "2")
	var sessions []*engine.Session
	for _, id := range []string{"1", "2"} {
		s, err := p.Session(t.Context(), p.catalog(id))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sessions = append(sessions, s)
	}
	epoch := sessions[0].Epoch()
	p.unlink("1", "2")
	p.unlink("2", "1")
	exec(t, sessions[1], "INSERT INTO t VALUES (2)")
	if found, err := sessions[0].HasRows(sql.New("FROM v2 WHERE a = 2")); err != nil || !found {
		t.Errorf("the session that was open reads %v, %v", found, err)
	}
	p.wantCount(t, "1", "v2", `{"n":2}`)
	p.link(t, "1", "2") // again, and nothing moves
	if s := p.Stats(); s.Cells != 2 || sessions[0].Epoch() != epoch {
		t.Errorf("open are %+v in epoch %d, which was %d", s, sessions[0].Epoch(), epoch)
	}
	p.unlink("1", "2")
	for _, s := range sessions {
		s.Close()
	}
	p.link(t, "2", "3")
	p.wantCount(t, "3", "t", `{"n":1}`)
	if s := p.Stats(); s.Cells != 1 || s.Catalogs != 2 {
		t.Errorf("open are %+v", s)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
	if s := p.Stats(); s.Cells != 2 || s.Catalogs != 3 {
		t.Errorf("open are %+v", s)
	}
}

// One transaction writes to one catalog, whatever the cell has.
func TestTransactionWritesOneCatalog(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	p.link(t, "1", "2")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Transaction(func() error {
		exec(t, s, "INSERT INTO t VALUES (5)")
		_, err := s.Exec(sql.New("INSERT INTO project_2_main.main.t VALUES (5)"))
		return err
	})
	if !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("got %v", err)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
	p.wantCount(t, "2", "t", `{"n":1}`)
}

// Links that change nothing about who is together leave sessions alone.
func TestLinksWithinAGroupMoveNothing(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2")
	p.link(t, "2", "3")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.link(t, "1", "3")
	p.unlink("1", "2")
	p.unlink("1", "2")
	p.link(t, "3", "1")
	exec(t, s, "INSERT INTO t SELECT a FROM project_2_main.main.t")
	if s := p.Stats(); s.Cells != 1 {
		t.Errorf("%d cells are open", s.Cells)
	}
}

func TestLinkRefuses(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	small := p.catalog("2")
	small.Small = true
	for _, other := range []engine.Catalog{p.catalog("1"), small} {
		if err := p.Link(t.Context(), p.catalog("1"), other); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: got %v", other.Alias, err)
		}
	}
}

// A move waits for what runs, as long as the caller likes; what then still runs
// ends with an error that can be retried. Requests that come meanwhile wait.
func TestMoveDrains(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	ending, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	staying, err := p.Session(t.Context(), p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer staying.Close()
	running := make(chan error, 1)
	go func() {
		_, err := staying.Exec(sql.New("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"))
		running <- err // and the session stays open
	}()
	ctx, giveUp := context.WithCancel(t.Context())
	linked, waiting := make(chan error, 1), make(chan error, 1)
	go func() { linked <- p.Link(ctx, p.catalog("1"), p.catalog("2")) }()
	waitFor(t, "the move has begun", func() bool {
		soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		s, err := p.Session(soon, p.catalog("1"))
		if err == nil {
			s.Close()
		}
		return errors.Is(err, sdk.ErrTimeout)
	})
	go func() {
		s, err := p.Session(t.Context(), p.catalog("1"))
		if err == nil {
			s.Close()
		}
		waiting <- err
	}()
	// What runs can look at what is committed now without waiting for the move.
	if err := ending.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, ending, "INSERT INTO t VALUES (2)")
	beside, err := ending.Beside()
	if err != nil {
		t.Fatal(err)
	}
	if found, err := beside.HasRows(sql.New("FROM t WHERE a = 2")); err != nil || found {
		t.Errorf("a session beside an open transaction sees its rows: %v, %v", found, err)
	}
	beside.Close()
	if err := ending.Commit(); err != nil {
		t.Fatal(err)
	}
	ending.Close()
	select {
	case err := <-linked:
		t.Errorf("the move did not wait: %v", err)
	case err := <-running:
		t.Errorf("the statement did not run on: %v", err)
	default:
	}
	giveUp()
	for _, ch := range []chan error{linked, waiting} {
		if err := <-ch; err != nil {
			t.Error(err)
		}
	}
	wantRetryable(t, <-running)
	_, err = staying.HasRows(sql.New("SELECT 1"))
	wantRetryable(t, err)
	p.wantCount(t, "1", "t", `{"n":2}`)
}

// While a session runs, all that its views may read stays open.
func TestSessionKeepsItsGroupOpen(t *testing.T) {
	t.Parallel()
	p := openProjects(t, 20*time.Millisecond, 0, "1", "2", "3")
	p.link(t, "1", "2")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	exec(t, s, "CREATE VIEW v2 AS SELECT * FROM project_2_main.main.t")
	if err := p.exec(t.Context(), "3", "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	p.waitDetached(t, "3")
	if ok, err := s.HasRows(sql.New("FROM v2")); err != nil || !ok {
		t.Errorf("the view: %v, %v", ok, err)
	}
	s.Close()
	waitFor(t, "the whole group is closed", func() bool { return p.Stats().Cells == 0 })
	p.wantCount(t, "1", "v2", `{"n":1}`)
}

// The bound of open catalogs counts those of a group, and closes cells as a whole.
func TestLeastRecentlyUsedGroupGoesFirst(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 3, "1", "2", "3", "4")
	p.link(t, "1", "2")
	p.link(t, "3", "4")
	p.rows(t, "1")
	if s := p.Stats(); s.Catalogs > 3 || s.Cells != s.Catalogs-1 {
		t.Errorf("open are %+v", s)
	}
	p.rows(t, "4")
	if s := p.Stats(); s.Catalogs != 2 || s.Cells != 1 {
		t.Errorf("open are %+v", s)
	}
	if p.hasLog("1") || p.hasLog("2") {
		t.Error("the group that was used before is still open")
	}
}

// A member whose file is broken or missing keeps nobody else from being served, and
// is served again once its file is back, without a new cell.
func TestBrokenMember(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2") // closes both
	p.rows(t, "2")
	p.view(t, "1", "2")
	p.link(t, "2", "3")
	path := p.catalog("2").Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s *engine.Session
	for _, bad := range [][]byte{[]byte("no database"), nil} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if bad != nil {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"1", "3"} {
			p.wantCount(t, id, "t", `{"n":1}`)
		}
		if got, err := p.count(t.Context(), "1", "v2"); err == nil {
			t.Errorf("the view reads %s", got)
		}
		if _, err := p.Session(t.Context(), p.catalog("2")); err == nil {
			t.Error("the broken member is served")
		}
		if s == nil {
			if s, err = p.Session(t.Context(), p.catalog("1")); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	p.wantCount(t, "1", "v2", `{"n":1}`)
	p.wantCount(t, "2", "t", `{"n":1}`)
	if ok, err := s.HasRows(sql.New("FROM v2")); err != nil || !ok {
		t.Errorf("the session that was open all the time: %v, %v", ok, err)
	}
}

// A drop takes a member out of its group; the sessions of the others may end, and
// can be repeated.
func TestDropOfAMember(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2")
	p.link(t, "2", "3")
	dropped, err := p.Session(t.Context(), p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer dropped.Close()
	other, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Drop(ctx, p.catalog("2")); err != nil {
		t.Fatal(err)
	}
	if _, err := dropped.HasRows(sql.New("SELECT 1")); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("its own session: got %v", err)
	}
	_, err = other.HasRows(sql.New("SELECT 1"))
	wantRetryable(t, err)
	p.wantCount(t, "1", "t", `{"n":1}`)
	p.wantCount(t, "3", "t", `{"n":1}`)
	if s := p.Stats(); s.Cells != 2 || s.Catalogs != 2 {
		t.Errorf("open are %+v", s)
	}
}
