package httpapi

import (
	"net/http"
	"time"
)

const (
	// chunkBytes is what is written to a client at once.
	chunkBytes = 256 << 10
	// defaultWriteTimeout is how long a client may take for a chunk; one that stalls
	// holds a connection to DuckDB, and a place among the streams.
	defaultWriteTimeout = time.Minute
)

// patience ends the connection of a client that takes none of an answer for the
// write timeout.
func (s *Server) patience(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patient{ResponseWriter: w, connection: http.NewResponseController(w), timeout: s.cfg.WriteTimeout}
		// The connection still has the deadline of its last answer.
		p.connection.SetWriteDeadline(time.Time{})
		defer p.extend() // for what the server has held back until then
		next.ServeHTTP(p, r)
	})
}

// patient writes an answer chunk by chunk.
type patient struct {
	http.ResponseWriter
	connection *http.ResponseController
	timeout    time.Duration
}

func (p *patient) extend() {
	p.connection.SetWriteDeadline(time.Now().Add(p.timeout))
}

func (p *patient) Write(b []byte) (written int, err error) {
	for first := true; first || len(b) > 0; first = false {
		p.extend()
		n, err := p.ResponseWriter.Write(b[:min(len(b), chunkBytes)])
		written += n
		if err != nil {
			return written, err
		}
		b = b[n:]
	}
	return written, nil
}

// Unwrap lets http.ResponseController reach the connection.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
