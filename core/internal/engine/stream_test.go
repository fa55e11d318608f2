package engine_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func TestNDJSONLosesNoValue(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	got := stream(t, s, engine.Result{Statement: sql.Raw(everyType), Format: engine.NDJSON})
	want := `{"i":1,"b":9223372036854775807,"h":"170141183460469231731687303715884105727","d":"1.50","n":"nan","f":0.5,"t":true,"z":null,` +
		`"day":"2026-01-02","ts":"2026-01-02 03:04:05.000006","s":"é\"\n,","l":[1,2],"st":{"a":"x"},"nl":"[inf]","j":{"j":1},"bl":"ab","i_1":"dup"}` + "\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

var formats = []engine.Format{engine.JSON, engine.NDJSON, engine.CSV, engine.Parquet, engine.Arrow}

func TestStreamReportsAnEarlyErrorBeforeTheFirstByte(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	for _, format := range formats {
		for _, statement := range []string{"SELECT 'x'::INTEGER", "SELECT * FROM missing", "SELECT error('now') FROM range(10000)"} {
			_, err := s.Stream(engine.Result{Statement: sql.Raw(statement), Format: format})
			if want := map[bool]error{true: sdk.ErrTableNotFound, false: sdk.ErrSQL}[strings.Contains(statement, "missing")]; !errors.Is(err, want) {
				t.Errorf("%s: %s: got %v", format, statement, err)
			}
		}
		if ok, err := s.HasRows(sql.Raw("SELECT 1")); !ok || err != nil {
			t.Errorf("%s: the session is of no use afterwards: %v", format, err)
		}
	}
}

func TestStreamReportsALateError(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	for _, format := range formats {
		body, err := s.Stream(engine.Result{
			Statement: sql.Raw("SELECT CASE WHEN range < 3000000 THEN range ELSE error('late') END AS a FROM range(3000001)"), Format: format,
		})
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if _, err := io.Copy(io.Discard, body); !errors.Is(err, sdk.ErrSQL) || !strings.Contains(err.Error(), "late") {
			t.Errorf("%s: got %v", format, err)
		}
		body.Close()
	}
}

func TestClosingAStreamStopsItsStatement(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, format := range formats {
		s := f.session(t)
		body, err := s.Stream(engine.Result{Statement: sql.Raw("SELECT range FROM range(100000000000)"), Format: format})
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		// Parquet has a column of one type in a few bytes.
		if _, err := io.ReadFull(body, make([]byte, 64<<10)); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if err := body.Close(); err != nil { // returns only when the statement has ended
			t.Errorf("%s: %v", format, err)
		}
		s.Close()
	}
	if left, _ := os.ReadDir(filepath.Join(f.layout.Pipes(), "project_1")); len(left) > 0 {
		t.Errorf("pipes left: %v", left)
	}
}

// A statement that makes no row for a long time ends with its context, in every
// format, before the first byte.
func TestEndOfTheContextInterruptsAStream(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, format := range formats {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		s, err := f.Session(ctx, f.main)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stream(engine.Result{Statement: sql.Raw("SELECT sum(a.range * b.range) AS x FROM range(1000000) a, range(1000000) b"), Format: format}); !errors.Is(err, sdk.ErrTimeout) {
			t.Errorf("%s: got %v", format, err)
		}
		s.Close()
		cancel()
	}
}

// Streams that are broken off at any moment beside a write leave no transaction
// open: the checkpoint at the end works, so that there is no log afterwards.
func TestBrokenStreamsLeaveNoTransactionOpen(t *testing.T) {
	t.Parallel()
	f := open(t)
	for round := range 60 {
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() { replaceTable(t, f) })
		both.Go(func() { streamUntilCancelled(ctx, t, f, formats[round%len(formats)]) })
		timer := time.NewTimer(time.Duration(rand.IntN(15000)) * time.Microsecond)
		<-timer.C
		cancel()
		both.Wait()
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.main.Path + ".wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log is left: %v", err)
	}
}

func streamUntilCancelled(ctx context.Context, t *testing.T, f fixture, format engine.Format) {
	for {
		s, err := f.Session(ctx, f.main)
		if err == nil {
			var body io.ReadCloser
			if body, err = s.Stream(engine.Result{Statement: sql.Raw("FROM range(300000)"), Format: format}); err == nil {
				_, err = io.Copy(io.Discard, body)
				body.Close()
			}
			s.Close()
		}
		if err != nil {
			if !errors.Is(err, sdk.ErrCancelled) {
				t.Errorf("%s: %v", format, err)
			}
			return
		}
	}
}
