package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// targets are the ratios that the project holds itself to, by the line of the
// report. A miss is shown and is no failure: machines are noisy.
var targets = map[string]float64{
	"import-typed":           1.10,
	"import-strings-default": 0.80,
	"export-stream":          1.10,
	"export-file":            1.10,
	"export-gzip":            0.35,
	"parallel-csv":           0.70,
	"parallel-gzip":          0.70,
	"preview":                1.30,
	"preview-1000":           1.50,
	"linked-aggregate":       1.10,
	"linked-export":          1.10,
	"linked-preview":         1.10,
}

// verdict says whether a figure keeps its target; 0 is none.
func verdict(figure, target float64) string {
	switch {
	case target == 0:
		return ""
	case figure > target:
		return fmt.Sprintf("target %.2f: missed", target)
	}
	return fmt.Sprintf("target %.2f: met", target)
}

// labels name the two sides of a pair in the report.
type labels struct{ service, raw string }

var againstRaw = labels{"service", "raw"}

// compare measures the service against something in this process and prints the
// line.
func (b *bench) compare(ctx context.Context, name string, onService, onRaw run) error {
	return b.measure(ctx, name, againstRaw, &pair{
		service: side{pid: b.service.PID(), run: onService}, raw: side{pid: os.Getpid(), run: onRaw},
	})
}

// measure measures a pair and prints its line.
func (b *bench) measure(ctx context.Context, name string, l labels, p *pair) error {
	if err := p.alternate(ctx, b.rounds); err != nil {
		return err
	}
	if b.headed != l {
		b.headed = l
		fmt.Fprintf(b.out, "\n%-22s %10s %10s %7s   %-13s  %-20s %s\n", "", l.service, l.raw, "ratio", "of the rounds", "", "peak memory of the two")
	}
	median, least, greatest := p.ratio()
	_, err := fmt.Fprintf(b.out, "%-22s %9.3fs %9.3fs %7.2f   %.2f to %.2f   %-20s %5d MiB %5d MiB\n", name,
		p.service.times.median().Seconds(), p.raw.times.median().Seconds(), median, least, greatest,
		verdict(median, targets[name]), p.service.peak, p.raw.peak)
	return err
}

// ms shows a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
