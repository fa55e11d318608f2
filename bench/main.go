// Command bench measures the service against DuckDB alone, or against a plain
// copy of bytes, in the same run on the same machine, and prints ratios. What
// each of them compares is in README.md.
//
//	TEST_SERVICE_BIN=$PWD/bin go run ./bench
//	go run ./bench -size-mb 50 -rounds 3 -only import
//
// Start with play, which has the list. Each benchmark alternates the two sides
// and does not count the first round. The machine should have nothing else to do:
// the least and greatest ratio of the rounds tell whether it had.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	sizeMB   int64
	rounds   int
	requests int
	only     string
	temp     string // parent of the temporary directory
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(start(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// start is main without its process.
func start(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	err = play(ctx, o, stdout)
	switch {
	case ctx.Err() != nil: // Ctrl-C reached the service, too; what it said of it is no news
		fmt.Fprintln(stderr, "\nbench: interrupted before the end")
		return 130
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Int64Var(&o.sizeMB, "size-mb", 500, "size of the CSV file in `MB`; needs about ten times as much disk")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds that count, for each benchmark")
	flags.IntVar(&o.requests, "requests", 500, "requests of each kind whose latency is measured")
	flags.StringVar(&o.only, "only", "", "run only benchmarks whose `name` begins so: "+strings.Join(names(), ", "))
	flags.StringVar(&o.temp, "temp", "", "`folder` for the temporary directory, on the disk to measure (default: the system's)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("bench takes no arguments, got %q", flags.Args())
	case o.sizeMB < 1 || o.rounds < 1 || o.requests < 1:
		err = errors.New("-size-mb, -rounds and -requests must be at least 1")
	case !slices.ContainsFunc(names(), func(name string) bool { return strings.HasPrefix(name, o.only) }):
		err = fmt.Errorf("-only %q is the beginning of none of %s", o.only, strings.Join(names(), ", "))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

// benchmark is one line, or a few, of the report.
type benchmark struct {
	name string
	run  func(context.Context, *bench) error
}

// benchmarks are in the order in which they run: latencies first, on a file that
// was written once.
var benchmarks = []benchmark{
	{"health", health},
	{"preview", preview},
	{"import-typed", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-typed", typed) }},
	{"import-strings", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-strings", texts) }},
	{"import-keyed", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-keyed", keyed) }},
	{"upload", upload},
	{"export-stream", exportStream},
	{"export-file", exportFile},
}

func names() []string {
	out := make([]string, len(benchmarks))
	for i, b := range benchmarks {
		out[i] = b.name
	}
	return out
}

func play(ctx context.Context, o options, stdout io.Writer) (err error) {
	b, err := open(ctx, o, stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	version, threads, err := b.raw.facts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "cores %d, DuckDB %s with %d threads, %s %s/%s\n", runtime.NumCPU(), version, threads, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(stdout, "CSV file %.0f MB, %d rows, %d columns; rounds %d, requests %d\n", float64(b.size)/1e6, b.rows, len(columns), o.rounds, o.requests)
	for _, benchmark := range benchmarks {
		if !strings.HasPrefix(benchmark.name, o.only) {
			continue
		}
		if err := benchmark.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", benchmark.name, err)
		}
	}
	return nil
}
