package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// shared makes two projects, and a table in the first one, whose bucket is shared.
func shared(t *testing.T) (s *system, handle string) {
	t.Helper()
	s = start(t)
	for _, id := range []string{"a", "b"} {
		s.create(id)
		s.must(s.project(id).CreateBucket(t.Context(), "in.c-main"))
		s.must(s.project(id).CreateTable(t.Context(), "in.c-main", "t", []map[string]string{{"name": "x", "type": "INTEGER"}, {"name": "y", "type": "INTEGER"}}))
	}
	handle, err := s.share("a", "in.c-main")
	s.must(err)
	return s, handle
}

// While the source is imported into again and again, by small files in its place and by
// staged ones that replace the table, who reads through a link sees the rows of one
// import and never an error.
func TestReadsDuringImports(t *testing.T) {
	t.Parallel()
	s, handle := shared(t)
	s.must(s.link("b", "l", handle))
	const small, large = 1000, 600_000 // a file of 4 MiB and more is staged
	files := map[int][]service.File{}
	for _, n := range []int{small, large} {
		for value := range 2 {
			var text strings.Builder
			text.WriteString("x,y\n")
			for range n {
				fmt.Fprintf(&text, "%d,12345\n", value)
			}
			f, err := s.project("a").Upload(t.Context(), "rows.csv", strings.NewReader(text.String()))
			s.must(err)
			files[n] = append(files[n], f)
		}
	}
	_, err := s.project("a").Import(t.Context(), "in.c-main", "t", files[small][0].ID)
	s.must(err)
	ctx, stop := context.WithCancel(t.Context())
	var reads, sizes atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				rows, err := s.query("b", "SELECT count(*), count(DISTINCT x) FROM l.t")
				if err != nil {
					t.Error(err)
					return
				}
				n, values := rows[0][0].(float64), rows[0][1].(float64)
				if n != small && n != large || values != 1 {
					t.Errorf("a mix: %v rows with %v values", n, values)
				}
				if n == large {
					sizes.Add(1)
				}
				reads.Add(1)
			}
		})
	}
	for i := range 6 {
		n := []int{small, large}[i%2]
		before := reads.Load()
		_, err := s.project("a").Import(t.Context(), "in.c-main", "t", files[n][i/2%2].ID)
		s.must(err)
		s.waitFor("somebody reads", func() bool { return reads.Load() > before+2 || t.Failed() })
	}
	stop()
	wg.Wait()
	t.Logf("%d reads, %d of the large file", reads.Load(), sizes.Load())
	if sizes.Load() == 0 {
		t.Error("nobody has read the large file")
	}
}

// Two projects link each other at the same time, while both are read and written.
func TestLinksToEachOther(t *testing.T) {
	t.Parallel()
	s, handle := shared(t)
	back, err := s.share("b", "in.c-main")
	s.must(err)
	for _, id := range []string{"a", "b"} {
		_, err := s.query(id, `INSERT INTO "in.c-main".t VALUES (1, 2)`)
		s.must(err)
	}
	var wg sync.WaitGroup
	for _, l := range [][3]string{{"a", "of b", back}, {"b", "of a", handle}, {"a", "of a", handle}} {
		wg.Go(func() {
			if err := s.link(l[0], l[1], l[2]); err != nil {
				t.Errorf("%v: %v", l, err)
			}
		})
		wg.Go(func() {
			for range 5 {
				if _, err := s.query(l[0], `UPDATE "in.c-main".t SET y = y + 1`); err != nil && !repeatable(err) {
					t.Errorf("a write meanwhile: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, q := range [][2]string{{"a", "of b"}, {"a", "of a"}, {"b", "of a"}} {
		if rows, err := s.query(q[0], fmt.Sprintf("SELECT x FROM %s.t", quote(q[1]))); err != nil || len(rows) != 1 {
			t.Errorf("%v: %v, %v", q, rows, err)
		}
	}
}

func repeatable(err error) bool {
	var p *service.Problem
	return errors.As(err, &p) && p.Retryable
}

// To unlink, and to link within projects that are together, disturbs no reader.
func TestUnlinkBesideReaders(t *testing.T) {
	t.Parallel()
	s, handle := shared(t)
	s.must(s.link("b", "stays", handle))
	_, err := s.query("a", `INSERT INTO "in.c-main".t VALUES (1, 2)`)
	s.must(err)
	ctx, stop := context.WithCancel(t.Context())
	var reads atomic.Int64
	var wg sync.WaitGroup
	for _, q := range [][2]string{{"b", "FROM stays.t"}, {"a", `FROM "in.c-main".t`}, {"b", `SELECT sum(a.range * b.range) FROM range(2000) a, range(2000) b`}} {
		wg.Go(func() {
			for ctx.Err() == nil {
				if rows, err := s.query(q[0], q[1]); err != nil || len(rows) != 1 {
					t.Errorf("%v: %v, %v", q, rows, err)
					return
				}
				reads.Add(1)
			}
		})
	}
	for i := range 12 {
		name := fmt.Sprintf("goes%d", i)
		s.must(s.link("b", name, handle))
		if _, err := s.query("b", "FROM "+name+".t"); err != nil {
			t.Error(err)
		}
		s.must(s.unlink("b", name))
		before := reads.Load()
		s.waitFor("somebody reads", func() bool { return reads.Load() > before || t.Failed() })
	}
	stop()
	wg.Wait()
	// The last link goes, and who reads its source and all else goes on.
	s.must(s.unlink("b", "stays"))
	for _, id := range []string{"a", "b"} {
		if _, err := s.query(id, `FROM "in.c-main".t`); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.query("b", "FROM stays.t"); err == nil {
		t.Error("the bucket that was unlinked is read")
	}
}

// Kills at random moments of shares, links and unlinks leave what the model allows: what
// was acknowledged holds, what was not is done or not done, and either can be repeated.
func TestKillsWhileLinking(t *testing.T) {
	t.Parallel()
	seed := number(t, "SHARING_SEED", uint64(time.Now().UnixNano()))
	t.Logf("SHARING_SEED=%d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	s, handle := shared(t)
	_, err := s.query("a", `INSERT INTO "in.c-main".t VALUES (1, 2)`)
	s.must(err)
	s.must(s.link("b", "l0", handle))
	linked := map[string]bool{"l0": true} // names of b that are linked
	for range int(number(t, "SHARING_KILLS", 6)) {
		begun, end := make(chan struct{}), make(chan map[string]string, 1)
		go func() { end <- s.work(draw, begun) }()
		<-begun
		timer := time.NewTimer(time.Duration(draw.IntN(150)) * time.Millisecond)
		<-timer.C
		s.must(s.run.Kill())
		known := <-end
		s.start()
		s.settle(t, linked, known)
	}
	// Nothing is in the way of what comes.
	current, err := s.share("a", "in.c-main")
	s.must(err)
	s.must(s.link("b", "last", current))
	rows, err := s.query("b", "FROM last.t")
	if err != nil || len(rows) != 1 {
		t.Errorf("the last link: %v, %v", rows, err)
	}
	s.must(s.do("a", "DELETE", []string{"buckets", "in.c-main"}, "?cascade=true&force=true", nil, nil))
}

// work links, unlinks, shares and unshares until the service is gone. It returns what it
// last knew of the links: linked, unlinked, or doubtful.
func (s *system) work(draw *rand.Rand, begun chan<- struct{}) (state map[string]string) {
	state = map[string]string{}
	var once sync.Once
	for i := 0; ; i++ {
		name := fmt.Sprintf("l%d", i%3)
		handle, err := s.share("a", "in.c-main")
		once.Do(func() { close(begun) })
		if err != nil {
			return state
		}
		state[name] = "doubtful"
		err = s.link("b", name, handle)
		if err != nil && !service.IsProblem(err, "bucket-exists") {
			return state
		}
		state[name] = "linked"
		if draw.IntN(2) == 0 {
			state[name] = "doubtful"
			if err := s.unlink("b", name); err != nil {
				return state
			}
			state[name] = "unlinked"
		}
		if draw.IntN(4) == 0 {
			if err := s.unshare("a", "in.c-main"); err != nil {
				return state
			}
		}
	}
}

// settle compares what is there after a kill with what may be.
func (s *system) settle(t *testing.T, linked map[string]bool, state map[string]string) {
	t.Helper()
	for name, was := range state {
		var b struct {
			IsLinked     bool
			SourceBucket *struct{ IsAvailable bool }
			Tables       []struct{ Name string }
		}
		err := s.do("b", "GET", []string{"buckets", name}, "", nil, &b)
		switch {
		case err == nil && was == "unlinked":
			t.Errorf("%s is there, and was unlinked", name)
		case service.IsProblem(err, "bucket-not-found") && was == "linked":
			t.Errorf("%s is gone, and was linked", name)
		case err != nil && !service.IsProblem(err, "bucket-not-found"):
			t.Errorf("%s: %v", name, err)
		}
		if linked[name] = err == nil; !linked[name] {
			continue
		}
		if !b.IsLinked || b.SourceBucket.IsAvailable != (len(b.Tables) == 1) {
			t.Errorf("%s is half of a link: %+v", name, b)
		}
		if _, err := s.query("b", "FROM "+name+".t"); (err == nil) != b.SourceBucket.IsAvailable {
			t.Errorf("%s is available %v: %v", name, b.SourceBucket.IsAvailable, err)
		}
	}
	count := 0
	for _, there := range linked {
		if there {
			count++
		}
	}
	// Everybody's links are looked at once, and none is left of what did not happen.
	_, err := s.query("b", "SELECT 1")
	s.must(err)
	if n := s.gauge("links_buckets"); int(n) != count {
		t.Errorf("%v links are noted, %d are there", n, count)
	}
}

// Views of the source are read through the link, whatever they are made of: tables of
// another bucket, views, and buckets that are linked there in their turn.
func TestViewsOfTheSource(t *testing.T) {
	t.Parallel()
	s, handle := shared(t)
	s.create("c")
	s.must(s.link("b", "l", handle))
	for _, step := range [][2]string{
		{"a", `INSERT INTO "in.c-main".t VALUES (1, 2)`}, {"b", `INSERT INTO "in.c-main".t VALUES (3, 4)`}, {"b", "CREATE SCHEMA out"},
		{"b", `CREATE VIEW out.v AS SELECT x FROM "in.c-main".t`}, {"b", "CREATE VIEW out.vv AS SELECT x + 1 AS z FROM out.v"}, {"b", "CREATE VIEW out.far AS SELECT y FROM l.t"},
	} {
		_, err := s.query(step[0], step[1])
		s.must(err)
	}
	out, err := s.share("b", "out")
	s.must(err)
	s.must(s.link("c", "m", out))
	for name, want := range map[string]float64{"v": 3, "vv": 4, "far": 2} {
		if rows, err := s.query("c", "FROM m."+name); err != nil || len(rows) != 1 || rows[0][0] != want {
			t.Errorf("%s: %v, %v", name, rows, err)
		}
	}
	_, err = s.query("a", `DELETE FROM "in.c-main".t`)
	s.must(err)
	if rows, err := s.query("c", "FROM m.far"); err != nil || len(rows) != 0 {
		t.Errorf("after the source of the source lost its rows: %v, %v", rows, err)
	}
	s.must(s.unshare("a", "in.c-main")) // and b is not opened meanwhile
	if rows, err := s.query("c", "FROM m.far"); err == nil {
		t.Errorf("after the end of the first share: %v", rows)
	}
}
