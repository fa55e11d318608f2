package sharing_test

import (
	"fmt"
	"strings"
	"time"
)

// waitFor waits until something is so.
func (s *system) waitFor(what string, reached func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !reached(); <-tick.C {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited too long until %s", what)
		}
	}
}

// gauge is a metric of the service that has no labels.
func (s *system) gauge(name string) float64 {
	s.t.Helper()
	var text strings.Builder
	if _, err := s.run.Admin().Do(s.t.Context(), "GET", "/metrics", nil, &text); err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if value, ok := strings.CutPrefix(line, "duckdb_storage_"+name+" "); ok {
			var n float64
			if _, err := fmt.Sscan(value, &n); err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("there is no metric %s", name)
	return 0
}
