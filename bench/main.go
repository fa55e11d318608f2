// Command bench measures the service against DuckDB alone, or against a plain
// copy of bytes, in the same run on the same machine, and prints ratios. What
// each of them compares is in README.md.
//
//	TEST_SERVICE_BIN=$PWD/bin go run ./bench
//	go run ./bench -size-mb 50 -rounds 3 -only import
//
// Start with benchmarks, which is the list. Each benchmark alternates the two sides
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
	sizeMB     int64
	rounds     int
	requests   int
	seconds    int
	tables     int
	streamRows int64
	only       string
	temp       string // parent of the temporary directory
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
	flags.IntVar(&o.seconds, "seconds", 30, "`seconds` of each half of mixed")
	flags.IntVar(&o.tables, "tables", 5000, "tables of many-tables")
	flags.Int64Var(&o.streamRows, "stream-rows", 10_000_000, "`rows` that stream-… streams")
	flags.StringVar(&o.only, "only", "", "run only benchmarks whose `name` begins so: "+strings.Join(names(), ", "))
	flags.StringVar(&o.temp, "temp", "", "`folder` for the temporary directory, on the disk to measure (default: the system's)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("bench takes no arguments, got %q", flags.Args())
	case min(o.sizeMB, int64(o.rounds), int64(o.requests), int64(o.seconds), int64(o.tables), o.streamRows) < 1:
		err = errors.New("-size-mb, -rounds, -requests, -seconds, -tables and -stream-rows must be at least 1")
	case !slices.ContainsFunc(names(), func(name string) bool { return strings.HasPrefix(name, o.only) }):
		err = fmt.Errorf("-only %q is the beginning of none of %s", o.only, strings.Join(names(), ", "))
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return o, err
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
	// One that fails leaves the others their turn: a run takes long.
	for _, benchmark := range benchmarks {
		if !strings.HasPrefix(benchmark.name, o.only) || ctx.Err() != nil {
			continue
		}
		if failed := benchmark.run(ctx, b); failed != nil {
			fmt.Fprintf(stdout, "\n%s: failed\n", benchmark.name)
			err = errors.Join(err, fmt.Errorf("%s: %w", benchmark.name, failed))
		}
	}
	return err
}
