package e2e_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// form is a way to ask for rows.
type form struct{ accept, encoding string }

func (f form) String() string { return f.accept + " " + f.encoding }

var forms = []form{
	{"application/json", ""}, {"application/json", "gzip"},
	{"application/x-ndjson", ""}, {"application/x-ndjson", "gzip"},
	{"text/csv", ""}, {"text/csv", "gzip"},
	{"application/vnd.apache.parquet", ""},
	{"application/vnd.apache.arrow.stream", ""},
}

// rows is an answer that is being read. The end of the test closes it.
type rows struct {
	header http.Header
	body   io.Reader
}

// ask sends a query. Nothing is decompressed on the way.
func ask(ctx context.Context, t *testing.T, p service.Project, f form, request map[string]any) rows {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {f.accept}, "Accept-Encoding": {"identity"}}
	if f.encoding != "" {
		header.Set("Accept-Encoding", f.encoding)
	}
	resp, err := p.Send(ctx, http.MethodPost, p.Path("query"), header, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != f.encoding {
		t.Fatalf("%s: status %d, encoding %q", f, resp.StatusCode, resp.Header.Get("Content-Encoding"))
	}
	return rows{resp.Header, resp.Body}
}

// serveProject starts a service with one project.
func serveProject(t *testing.T, settings ...string) (*service.Service, service.Project) {
	t.Helper()
	s := start(t, settings...)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	return s, p
}

// An error after the first byte leaves an answer without an end: none of them can
// be taken for a whole one.
func TestErrorAfterTheFirstByte(t *testing.T) {
	t.Parallel()
	_, p := serveProject(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	late := map[string]any{"sql": "SELECT CASE WHEN i < 2000000 THEN hash(i) ELSE error('late') END AS a FROM range(2000001) AS r(i)"}
	for _, f := range forms {
		answer := ask(ctx, t, p, f, late)
		got, err := io.ReadAll(answer.body)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: the body of %d bytes ended with %v", f, len(got), err)
		}
		if len(got) < 100_000 {
			t.Errorf("%s: the error came after %d bytes, which is too early for this test", f, len(got))
		}
		if f.encoding == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(got))
			must(t, err)
			if n, err := io.Copy(io.Discard, r); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: the %d bytes in it ended with %v", f, n, err)
			}
		}
	}
	// What is wrong from the start is a problem in every form. The query command
	// answers with it; a preview does not.
	must(t, p.CreateBucket(ctx, "b"))
	_, err := p.Query(ctx, "CREATE VIEW b.v AS SELECT error('early') AS a FROM range(10)")
	must(t, err)
	for _, f := range forms {
		resp, err := p.Send(ctx, http.MethodGet, p.Path("tables", "b", "v", "preview"), http.Header{"Accept": {f.accept}}, nil)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: got %d, %s", f, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

// A stream of text is compressed for a client that takes gzip, and has the same bytes.
func TestGzipOfStreams(t *testing.T) {
	t.Parallel()
	_, p := serveProject(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	all := map[string]any{"sql": "SELECT i, 'row ' || i AS name FROM range(200000) AS r(i)"}
	plain := map[string][]byte{}
	for _, f := range forms {
		answer := ask(ctx, t, p, f, all)
		got, err := io.ReadAll(answer.body)
		must(t, err)
		text := f.accept == "application/json" || f.accept == "text/csv" || f.accept == "application/x-ndjson"
		if vary := answer.header.Get("Vary"); (vary == "Accept-Encoding") != text {
			t.Errorf("%s: Vary is %q", f, vary)
		}
		if f.encoding == "" {
			plain[f.accept] = got
			continue
		}
		r, err := gzip.NewReader(bytes.NewReader(got))
		must(t, err)
		unpacked, err := io.ReadAll(r)
		must(t, err)
		if !bytes.Equal(unpacked, plain[f.accept]) {
			t.Errorf("%s: %d bytes, and %d without gzip", f, len(unpacked), len(plain[f.accept]))
		}
		if 2*len(got) > len(unpacked) {
			t.Errorf("%s: %d bytes became %d", f, len(unpacked), len(got))
		}
	}
	// What is compact already, and what is small, stays as it is.
	for _, tc := range []struct {
		accept  string
		request map[string]any
	}{
		{"application/vnd.apache.parquet", all},
		{"application/vnd.apache.arrow.stream", all},
		{"application/json", map[string]any{"sql": "SELECT 1", "limit": 10}},
	} {
		answer := ask(ctx, t, p, form{tc.accept, ""}, tc.request)
		if got := answer.header.Get("Vary"); got != "" {
			t.Errorf("%s: Vary is %q", tc.accept, got)
		}
	}
}

// A reader that stops reading is cut off. Until then it keeps a place, which small
// reads do not need; then its statement has ended, and its place is another's.
func TestStalledReader(t *testing.T) {
	t.Parallel()
	for _, f := range forms {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			s, p := serveProject(t, "DUCKDB_STORAGE_HTTP__WRITE_TIMEOUT=1s", "DUCKDB_STORAGE_ENGINE__MAX_STREAMS=1")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			stalled := ask(ctx, t, p, f, endlessRows)
			_, err := io.ReadFull(stalled.body, make([]byte, 1000))
			must(t, err)
			// Beside it: a small read, then one that waits for the place.
			small := ask(ctx, t, p, form{"application/json", ""}, map[string]any{"sql": "SELECT 1 AS a", "limit": 1})
			got, err := io.ReadAll(small.body)
			must(t, err)
			if diff := cmp.Diff(`{"status":"ok","rowsAffected":null,"message":"","columns":[{"name":"a","type":"INTEGER"}],"rows":[[1]]}`+"\n", string(got)); diff != "" {
				t.Error(diff)
			}
			next := ask(ctx, t, p, form{"text/csv", ""}, map[string]any{"sql": "SELECT 1 AS a"})
			if got, err := io.ReadAll(next.body); string(got) != "a\n1\n" || err != nil {
				t.Errorf("who came next: %q, %v", got, err)
			}
			quietWithin(t, s.PID(), time.Second)
			// What the connection holds arrives, and no end.
			if n, err := io.Copy(io.Discard, stalled.body); err == nil {
				t.Errorf("after %d bytes the stalled reader sees a whole answer", n)
			}
			// Its session is closed: the service does not wait for it.
			begun := time.Now()
			must(t, s.Stop())
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("the service took %s to stop", took)
			}
		})
	}
}

// endlessRows makes rows faster than they can be sent, and never ends. Its values
// do not compress well.
var endlessRows = map[string]any{"sql": "SELECT i, hash(i) AS h, md5(i::VARCHAR) AS m FROM range(1000000000000) AS r(i)"}

// endlessWork makes one row, and never ends.
const endlessWork = "SELECT sum(hash(x.i + y.i)) AS n FROM range(1000000000) AS x(i), range(1000000000) AS y(i)"

// A client that leaves frees the processor within a second, whatever it asked for
// and however far that was.
func TestLeavingClientFreesTheProcessor(t *testing.T) {
	t.Parallel()
	s, p := serveProject(t)
	must(t, p.CreateBucket(t.Context(), "b"))
	_, err := p.Query(t.Context(), "CREATE VIEW b.v AS "+endlessWork)
	must(t, err)
	for _, f := range forms {
		// While it streams. The client reads all along, so that there is work to stop.
		ctx, leave := context.WithCancel(t.Context())
		answer := ask(ctx, t, p, f, endlessRows)
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, answer.body)
			read <- err
		}()
		busy(t, s.PID())
		leave()
		quietWithin(t, s.PID(), time.Second)
		if err := <-read; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the client that left read to %v", f, err)
		}
		// Before the first byte.
		leaveEarly(t, s, f.String(), func(ctx context.Context) error {
			return send(ctx, p, f.accept, fmt.Sprintf(`{"sql":%q}`, endlessWork), "query")
		})
	}
	for _, accept := range []string{"application/json", "text/csv"} {
		leaveEarly(t, s, "export as "+accept, func(ctx context.Context) error {
			return send(ctx, p, accept, "{}", "tables", "b", "v", "export")
		})
	}
	for _, compression := range []string{"none", "gzip"} {
		leaveEarly(t, s, "export with "+compression, func(ctx context.Context) error {
			_, err := p.Do(ctx, http.MethodPost, p.Path("tables", "b", "v", "export"), map[string]string{"compression": compression}, nil)
			return err
		})
	}
	leaveEarly(t, s, "preview", func(ctx context.Context) error {
		_, err := p.Do(ctx, http.MethodGet, p.Path("tables", "b", "v", "preview"), nil, nil)
		return err
	})
}

// send sends a request for as long as it takes to be answered.
func send(ctx context.Context, p service.Project, accept, body string, path ...string) error {
	resp, err := p.Send(ctx, http.MethodPost, p.Path(path...), http.Header{"Accept": {accept}}, strings.NewReader(body))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// leaveEarly leaves a request that keeps the service busy.
func leaveEarly(t *testing.T, s *service.Service, what string, request func(context.Context) error) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	answered := make(chan error, 1)
	go func() { answered <- request(ctx) }()
	busy(t, s.PID())
	leave()
	quietWithin(t, s.PID(), time.Second)
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("%s: it was answered before the client left: %v", what, err)
	}
}
