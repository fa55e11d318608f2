package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"
)

// clientID is what is accepted of ids that clients send, so that a header
// cannot write into the log what it likes.
var clientID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// observe gives each request an id, logs and counts how it ended, records writes in the
// audit, and turns a panic into a problem.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o := &observed{requestID: r.Header.Get("X-Request-Id"), runID: r.Header.Get("X-KBC-RunId")}
		if !clientID.MatchString(o.requestID) {
			o.requestID = ulid.Make().String()
		}
		if !clientID.MatchString(o.runID) {
			o.runID = ""
		}
		r = r.WithContext(context.WithValue(r.Context(), observedKey, o))
		start := time.Now()
		rec := &recorder{
			ResponseWriter: w, sent: s.cfg.Metrics.HTTP.Sent,
			before: func(status int) { s.audit(r, o, status, time.Since(start)) },
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &countedBody{r.Body, s.cfg.Metrics.HTTP.Received}
		}
		rec.Header().Set("X-Request-Id", o.requestID)
		s.cfg.Metrics.HTTP.Began()
		defer func() {
			if s.report(rec, r, o, start, recover()) {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// report says how a request ended, and whether its connection must be broken off:
// where the head is out, nothing else tells the client.
func (s *Server) report(rec *recorder, r *http.Request, o *observed, start time.Time, panicked any) (abort bool) {
	abort = panicked != nil
	err, _ := panicked.(error)
	if abort && !errors.Is(err, http.ErrAbortHandler) {
		s.cfg.Logger.Error("panic in a request", "request_id", o.requestID, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		if rec.status == 0 {
			s.fail(rec, r, fmt.Errorf("panic: %v", panicked))
			abort = false
		}
	}
	rec.settle()
	took := time.Since(start)
	aborted := abort || r.Context().Err() != nil // by us, or by a client that left
	s.cfg.Metrics.HTTP.Ended(o.command, rec.status, aborted, took)
	s.cfg.Logger.Info("request", "request_id", o.requestID, "run_id", o.runID, "method", r.Method, "path", r.URL.EscapedPath(),
		"command", o.command, "subject", o.subject, "status", rec.status, "aborted", aborted,
		"bytes", rec.bytes, "duration_ms", float64(took.Microseconds())/1000)
	return abort
}

// recorder remembers status and size of a response.
type recorder struct {
	http.ResponseWriter
	status  int
	bytes   int64
	sent    func(n int)      // is told of them as they go
	before  func(status int) // is told of the status, once, before the client is; 0 is none
	settled bool             // before was told
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK { // what is below precedes an answer
		r.status = status
		r.settle()
	}
	r.ResponseWriter.WriteHeader(status)
}

// begin sends the head of an answer for which nobody has sent one.
func (r *recorder) begin() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
}

// settle tells before which status the client gets.
func (r *recorder) settle() {
	if !r.settled {
		r.settled = true
		r.before(r.status)
	}
}

// FlushError is for http.ResponseController: a flush sends the head, too.
func (r *recorder) FlushError() error {
	r.begin()
	return http.NewResponseController(r.ResponseWriter).Flush()
}

func (r *recorder) Write(b []byte) (int, error) {
	r.begin()
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	r.sent(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// countedBody tells how many bytes a client has sent, as they come.
type countedBody struct {
	io.ReadCloser
	received func(n int)
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.received(n)
	return n, err
}

func loggerOf(ctx context.Context, base hclog.Logger) hclog.Logger {
	o := observedOf(ctx)
	return base.With("request_id", o.requestID, "run_id", o.runID, "command", o.command)
}
