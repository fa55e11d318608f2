package httpapi

import (
	"errors"
	"io"
	"net/http"
	"os"
	"slices"

	"github.com/keboola/duckdb-storage/core/internal/compress"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
)

// stream sends rows while they are made. The first of them are there already,
// so an error from here on can only break the connection.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, status int, stream *plan.Stream) {
	defer stream.Body.Close()
	to, err := encode(w, r, stream)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", stream.ContentType)
	w.WriteHeader(status)
	if err := send(to, stream); err != nil {
		to.Abort()
		s.brokeOff(r, err)
		panic(http.ErrAbortHandler)
	}
}

// clientError is an error of sending, not of what was to be sent.
type clientError struct{ error }

func (e clientError) Unwrap() error { return e.error }

func send(to encoder, stream *plan.Stream) error {
	buf := make([]byte, chunkBytes)
	for first := true; ; first = false {
		early := first && !stream.Whole // a client sees at once that rows come
		n, end, err := fill(buf, stream.Body, early)
		if err != nil {
			return err
		}
		_, err = to.Write(buf[:n])
		switch {
		case err == nil && end:
			err = to.Close()
		case err == nil && early:
			err = to.Flush()
		}
		if err != nil {
			return clientError{err}
		}
		if end {
			return nil
		}
	}
}

// fill reads until buf is full, or once if early.
func fill(buf []byte, from io.Reader, early bool) (n int, end bool, err error) {
	for n < len(buf) {
		m, err := from.Read(buf[n:])
		n += m
		if errors.Is(err, io.EOF) {
			return n, true, nil
		}
		if err != nil {
			return 0, false, err
		}
		if early {
			break
		}
	}
	return n, false, nil
}

// brokeOff says why a stream has no end.
func (s *Server) brokeOff(r *http.Request, err error) {
	log := loggerOf(r.Context(), s.cfg.Logger)
	var client clientError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		log.Warn("the client stopped reading and was cut off", "bytes", chunkBytes, "within", s.cfg.WriteTimeout)
	case errors.As(err, &client), r.Context().Err() != nil:
		log.Info("the client left before the end of its stream", "error", err)
	default:
		log.Error("the stream broke off", "error", err)
	}
}

// encoder is the way of a body to its client.
type encoder interface {
	io.Writer
	Flush() error
	// Close sends the end of a whole body, Abort leaves one without an end.
	Close() error
	Abort()
}

// compressed are the types that gzip makes smaller; the others are so already, or
// are read faster than gzip makes them.
var compressed = []engine.Format{engine.CSV, engine.NDJSON, engine.JSON}

// encode picks the encoding that the client wishes, and says so in the head.
func encode(w http.ResponseWriter, r *http.Request, stream *plan.Stream) (encoder, error) {
	plain := identity{w, http.NewResponseController(w)}
	if stream.Whole || !slices.Contains(compressed, engine.Format(stream.ContentType)) {
		return plain, nil
	}
	w.Header().Add("Vary", "Accept-Encoding")
	if !acceptsGzip(r.Header.Values("Accept-Encoding")) {
		return plain, nil
	}
	gzip, err := compress.NewWriter(w)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Content-Encoding", "gzip")
	return gzipped{gzip, plain}, nil
}

// identity sends a body as it is. The server ends it, unless the handler panics.
type identity struct {
	http.ResponseWriter
	connection *http.ResponseController
}

func (i identity) Flush() error { return i.connection.Flush() }
func (i identity) Close() error { return nil }
func (i identity) Abort()       {}

type gzipped struct {
	*compress.Writer
	to identity
}

func (g gzipped) Flush() error {
	if err := g.Writer.Flush(); err != nil {
		return err
	}
	return g.to.Flush()
}
