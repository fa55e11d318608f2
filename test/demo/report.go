package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// report tells a person what happens, a line for each step. A line begins when
// its step begins, so that a slow one has a name. There are no escape codes.
type report struct{ w io.Writer }

// step is one line of the report. It returns what it came to.
type step struct {
	name string
	run  func(context.Context) (what string, err error)
}

// run runs steps up to the first that fails.
func (r *report) run(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		fmt.Fprintf(r.w, "  %-19s", s.name)
		start := time.Now()
		what, err := s.run(ctx)
		if ctx.Err() != nil {
			fmt.Fprintln(r.w, "interrupted")
			return context.Cause(ctx)
		}
		if err != nil {
			fmt.Fprintln(r.w, "FAILED")
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(r.w, "%-60s %8s\n", what, elapsed(time.Since(start)))
	}
	return nil
}

func (r *report) title(format string, args ...any) {
	fmt.Fprintf(r.w, "\n"+format+"\n", args...)
}

// count writes a number with commas between the thousands.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func elapsed(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
