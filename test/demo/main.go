// Command demo plays the main job by itself and proves that nothing was lost.
//
// It starts a service of its own in a temporary directory and makes a CSV file
// that is hard to read: quotes, line breaks inside values, right-to-left text,
// NULL beside the empty text. Then it does over HTTP what a user does: project,
// bucket, table, upload, import, preview, query, export, download. It does so for
// a typed table and for a table of texts, and compares every value that comes
// back with the source, and the figures of the query with those that Go computed.
//
//	go run ./test/demo            builds what it needs
//	go run ./test/demo -bin bin   takes binaries that are built already
//
// Start with run, then journey. The exit status is 0 only if everything is as it
// was; 1 with a list of differences, 2 for a wrong flag, 130 after Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	exitDiffers     = 1
	exitUsage       = 2
	exitInterrupted = 130 // what a shell reports after Ctrl-C
)

// options are the flags.
type options struct {
	bin  string
	rows int64
	keep bool
	temp string // parent of the temporary directory
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without its process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return exitUsage
	}
	start := time.Now()
	err = play(ctx, o, stdout)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "\ndemo: interrupted before the end")
		return exitInterrupted
	case err != nil:
		fmt.Fprintf(stderr, "\ndemo: FAILED: %v\n", err)
		if !o.keep {
			fmt.Fprintln(stderr, "Run it with -keep to look at the data.")
		}
		return exitDiffers
	}
	fmt.Fprintf(stdout, "\nOK: every row and every figure is as it was, %s in all.\n", elapsed(time.Since(start)))
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.bin, "bin", "", "`folder` with the built service; without it the demo builds one")
	flags.Int64Var(&o.rows, "rows", 100_000, "rows of the CSV file")
	flags.BoolVar(&o.keep, "keep", false, "keep the data directory and the CSV files")
	flags.StringVar(&o.temp, "temp", "", "`folder` for the temporary directory (default: the system's)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("demo takes no arguments, got %q", flags.Args())
	case o.rows < 1:
		err = fmt.Errorf("-rows must be at least 1, not %d", o.rows)
	case o.bin != "":
		o.bin, err = filepath.Abs(o.bin)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
	}
	return o, err
}

// play runs the journey in a directory of its own and cleans up, whatever happens.
func play(ctx context.Context, o options, stdout io.Writer) (err error) {
	if o.bin == "" {
		if o.bin, err = service.Build(ctx); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(o.temp, "ds-demo") // short, for the sockets below it
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if o.keep {
		defer func() {
			fmt.Fprintf(stdout, "\nThe files are in %s. To look at the data:\n  DUCKDB_STORAGE_ADMIN_KEY=%s %s serve --data-dir %s --plugin-dir %s\n",
				dir, service.DefaultAdminKey, filepath.Join(o.bin, "duckdb-storage"), data, filepath.Join(o.bin, "plugins"))
		}()
	} else {
		defer os.RemoveAll(dir)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	j := &journey{dir: dir, rows: o.rows, out: &report{w: stdout}}
	fmt.Fprintf(stdout, "%s orders through DuckDB Storage and back\n\n", count(o.rows))
	if err := j.start(ctx, service.Options{Bin: o.bin, DataDir: data}); err != nil {
		return err
	}
	err = j.play(ctx)
	if stopErr := j.service.Stop(); err == nil {
		err = stopErr
	}
	return err
}
