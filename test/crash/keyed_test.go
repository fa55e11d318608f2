package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// keyed is a write that is sent with an Idempotency-Key.
type keyed struct {
	path string
	body any
	// lost says that only the handler knew the answer: a repeat after a kill learns that
	// the write was committed, and no more.
	lost bool
	// check finds whether the write was done, which must be once or not at all.
	check func(ctx context.Context) (done bool, err error)
}

// reply is an answer as far as a repeat must give the same.
type reply struct {
	status   int
	body     string
	replayed bool
}

func (k keyed) send(ctx context.Context, c service.Client, key string) (reply, error) {
	body, err := json.Marshal(k.body)
	if err != nil {
		return reply{}, err
	}
	resp, err := c.Send(ctx, http.MethodPost, k.path, http.Header{"Idempotency-Key": {key}}, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(text), resp.Header.Get("Idempotency-Replayed") == "true"}, err
}

// one reports whether a query finds 1, and fails for more.
func one(ctx context.Context, p *service.Project, sql string) (bool, error) {
	rows, err := p.Query(ctx, sql)
	if err != nil {
		return false, err
	}
	n := rows[0][0].(float64)
	if n > 1 {
		return true, fmt.Errorf("%s finds %v", sql, n)
	}
	return n == 1, nil
}

// keyedWrites are writes of each kind, with an import of the stage's file. n makes
// them other ones.
func (st *stage) keyedWrites(n int) map[string]keyed {
	p := &st.project
	name := fmt.Sprint("in.c-keyed-", n)
	return map[string]keyed{
		"bucket": {p.Path("buckets"), map[string]string{"name": name}, false, func(ctx context.Context) (bool, error) {
			return one(ctx, p, fmt.Sprintf("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = '%s'", name))
		}},
		"insert": {p.Path("query"), map[string]any{"sql": `INSERT INTO "in.c-main".orders (id, name) VALUES (?, 'keyed')`, "params": []string{name}}, true, func(ctx context.Context) (bool, error) {
			return one(ctx, p, fmt.Sprintf(`SELECT count(*) FROM "in.c-main".orders WHERE id = '%s'`, name))
		}},
		"import": {p.Path("tables", "in.c-main", "loaded", "import", "file"), map[string]string{"fileId": st.file}, false, func(ctx context.Context) (bool, error) {
			rows, err := p.Query(ctx, `SELECT count(*), count(DISTINCT id) FROM "in.c-main".loaded`)
			if err != nil {
				return false, err
			}
			count, distinct := rows[0][0].(float64), rows[0][1].(float64)
			if count != distinct || count != 0 && count != keyedRows {
				return true, fmt.Errorf("the table has %v rows, %v of them different", count, distinct)
			}
			return count > 0, nil
		}},
	}
}

// keyedRows make a file that is staged before its import has its turn.
const keyedRows = 300_000

func newKeyedStage(t *testing.T) *stage {
	t.Helper()
	st := newStage(t)
	st.upload(t, keyedRows)
	return st
}

// empty makes the table of the import empty.
func (st *stage) empty(t *testing.T) {
	t.Helper()
	for _, sql := range []string{`DROP TABLE IF EXISTS "in.c-main".loaded`, `CREATE TABLE "in.c-main".loaded (id VARCHAR, name VARCHAR)`} {
		if _, err := st.project.Query(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
}

// The service is killed between the commit of a write and the row with its answer:
// the repeat does not write again, and has the answer if the host can make it.
func TestKeyedKillAfterCommit(t *testing.T) {
	t.Parallel()
	st := newKeyedStage(t)
	for name := range st.keyedWrites(0) {
		st.empty(t)
		write := st.keyedWrites(0)[name]
		st.killedAt(t, "metadata/registry.duckdb.wal", write, name)
		if done, err := write.check(t.Context()); err != nil || !done {
			t.Fatalf("%s: after the kill it is done: %v, %v", name, done, err)
		}
		again, err := write.send(t.Context(), st.project.Client, name)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case write.lost && (again.status != http.StatusConflict || !strings.Contains(again.body, "/problems/idempotency-answer-lost") || !strings.Contains(again.body, `"retryable":false`)):
			t.Errorf("%s: the repeat got %+v, want that the answer is lost", name, again)
		case !write.lost && (again.status >= 300 || !again.replayed):
			t.Errorf("%s: the repeat got %+v, want the answer", name, again)
		}
		if done, err := write.check(t.Context()); err != nil || !done {
			t.Errorf("%s: after the repeat it is done: %v, %v", name, done, err)
		}
		third, err := write.send(t.Context(), st.project.Client, name)
		if err != nil || third.status != again.status || !write.lost && third != again {
			t.Errorf("%s: the next repeat got %+v, %v; want %+v", name, third, err, again)
		}
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
}

// The service is killed before the commit: nothing happened, and the repeat is done.
func TestKeyedKillBeforeCommit(t *testing.T) {
	t.Parallel()
	st := newKeyedStage(t)
	for name := range st.keyedWrites(0) {
		st.empty(t)
		write := st.keyedWrites(0)[name]
		st.killedAt(t, "duckdb/project_main_main.duckdb.wal", write, name)
		if done, err := write.check(t.Context()); err != nil || done {
			t.Fatalf("%s: after the kill it is done: %v, %v", name, done, err)
		}
		first, err := write.send(t.Context(), st.project.Client, name)
		if err != nil || first.status >= 300 || first.replayed {
			t.Fatalf("%s: the repeat got %+v, %v; want it done", name, first, err)
		}
		if done, err := write.check(t.Context()); err != nil || !done {
			t.Errorf("%s: after the repeat it is done: %v, %v", name, done, err)
		}
		again, err := write.send(t.Context(), st.project.Client, name)
		first.replayed = true
		if err != nil || again != first {
			t.Errorf("%s: then it got %+v, %v; want %+v", name, again, err, first)
		}
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
}

// killedAt sends a write to a service that is killed at its first write to a file,
// and starts it again.
func (st *stage) killedAt(t *testing.T, path string, write keyed, key string) {
	t.Helper()
	st.control.follow(func(op faults.Op, _ string) faults.Verdict {
		if (op.Kind == faults.Write || op.Kind == faults.Create) && op.Path == path {
			return faults.Kill
		}
		return faults.GoOn
	})
	if got, err := write.send(t.Context(), st.project.Client, key); err == nil {
		t.Fatalf("%s: no kill; it got %+v", key, got)
	}
	<-st.service.Exited()
	st.again(t)
}

// shortKeyedRounds is how many kills the short form makes.
const shortKeyedRounds = 12

// The service is killed at any moment of a write under a key, again and again until
// the write is answered. It was done once.
func TestKeyedKills(t *testing.T) {
	t.Parallel()
	st := newKeyedStage(t)
	moments := random(seed(t), 0)
	sum := map[string]int{}
	names := []string{"bucket", "insert", "import"}
	for round := range rounds(t, shortKeyedRounds) {
		name := names[round%len(names)]
		st.empty(t)
		write := st.keyedWrites(round)[name]
		key := fmt.Sprint(name, " ", round)
		running := st.service
		killed := time.AfterFunc(between(moments, keyedLife(name)), func() { running.Kill() })
		first, err := write.send(t.Context(), st.project.Client, key)
		killed.Stop()
		answered := err == nil
		running.Kill()
		<-running.Exited()
		st.again(t)
		done, err := write.check(t.Context())
		if err != nil || answered && !done {
			t.Fatalf("round %d, %s: answered %v, done %v, %v", round, name, answered, done, err)
		}
		again, err := write.send(t.Context(), st.project.Client, key)
		lost := write.lost && done && strings.Contains(again.body, "/problems/idempotency-answer-lost")
		switch {
		case err != nil || again.status >= 300 && !lost:
			t.Errorf("round %d, %s: answered %v, done %v; the repeat got %+v, %v", round, name, answered, done, again, err)
		case !lost && again.replayed != done:
			t.Errorf("round %d, %s: done %v, replayed %v", round, name, done, again.replayed)
		case answered && (again.body != first.body || again.status != first.status):
			t.Errorf("round %d, %s: %+v and then %+v", round, name, first, again)
		}
		if done, err := write.check(t.Context()); err != nil || !done {
			t.Errorf("round %d, %s: after the repeat it is done: %v, %v", round, name, done, err)
		}
		switch {
		case answered:
			sum["after the answer"]++
		case done:
			sum["between commit and answer"]++
		default:
			sum["before the commit"]++
		}
	}
	t.Logf("kills: %v", sum)
	if sum["before the commit"]+sum["between commit and answer"] == 0 {
		t.Error("no kill hit a write: this test has shown nothing")
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
}

// keyedLife is how long a write takes at most, in a service that is watched.
func keyedLife(name string) time.Duration {
	if name == "import" {
		return 600 * time.Millisecond
	}
	return 12 * time.Millisecond
}
