package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// wide and long are the columns and rows of each of many tables.
	wide = 20
	long = 100
	// page is how many tables a list shows at once.
	page = 1000
)

// holder is who has many tables: the service, or DuckDB with default settings.
type holder interface {
	create(ctx context.Context, table string) error
	load(ctx context.Context, table string) error
	list(ctx context.Context) (pages times, tables int, err error)
	info(ctx context.Context, table string) error
	// reopen ends it, starts it, and reads a table.
	reopen(ctx context.Context, table string) (reopened, error)
	pid() int
}

// reopened is what a restart took.
type reopened struct {
	stop, start, first time.Duration
	fileBytes          int64
	grew               int64 // MiB of memory, from the start to the first answer
}

// manyTables fills a project with tables, looks at each, and starts it again;
// beside it a file with DuckDB's default settings.
func manyTables(ctx context.Context, b *bench) error {
	csv := filepath.Join(b.dir, "small.csv")
	if err := os.WriteFile(csv, smallCSV(), 0o600); err != nil {
		return err
	}
	defer os.Remove(csv)
	ofService, err := b.openServiceTables(ctx, csv)
	if err != nil {
		return err
	}
	service, err := fillTables(ctx, ofService, b.tables)
	if err := errors.Join(err, ofService.close()); err != nil {
		return err
	}
	ofRaw, err := openRawTables(ctx, filepath.Join(b.dir, "many.duckdb"), csv)
	if err != nil {
		return err
	}
	raw, err := fillTables(ctx, ofRaw, b.tables)
	if err := errors.Join(err, ofRaw.close()); err != nil {
		return err
	}
	return b.showTables(service, raw)
}

// filled is what was measured of a holder.
type filled struct {
	create, load, list, info times
	peak                     int64 // MiB
	reopened
}

// fillTables does each thing with each table, one after the other.
func fillTables(ctx context.Context, h holder, tables int) (f filled, err error) {
	if err := resetPeak(h.pid()); err != nil {
		return f, err
	}
	before, err := resident(h.pid())
	if err != nil {
		return f, err
	}
	each := func(do func(context.Context, string) error) (out times, err error) {
		for i := range tables {
			name := fmt.Sprintf("table%05d", i)
			took, err := timed(ctx, func(ctx context.Context) error { return do(ctx, name) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			out = append(out, took)
		}
		return out, nil
	}
	if f.create, err = each(h.create); err != nil {
		return f, err
	}
	if f.load, err = each(h.load); err != nil {
		return f, err
	}
	var listed int
	if f.list, listed, err = h.list(ctx); err != nil {
		return f, err
	}
	if err := wantRows("the list", int64(listed), int64(tables)); err != nil {
		return f, err
	}
	if f.info, err = each(h.info); err != nil {
		return f, err
	}
	if f.peak, err = peak(h.pid()); err != nil {
		return f, err
	}
	f.peak -= before
	f.reopened, err = h.reopen(ctx, fmt.Sprintf("table%05d", tables/2))
	return f, err
}

func (b *bench) showTables(service, raw filled) error {
	fmt.Fprintf(b.out, "\nmany-tables: %d tables of %d columns and %d rows in one file; raw is DuckDB with its default settings\n", b.tables, wide, long)
	fmt.Fprintf(b.out, "%-26s %11s %9s %9s   %9s %9s %9s\n", "ms", "service p50", "p99", "slowest", "raw p50", "p99", "slowest")
	for _, l := range []struct {
		name         string
		service, raw times
	}{
		{"create a table", service.create, raw.create},
		{fmt.Sprintf("import %d rows", long), service.load, raw.load},
		{fmt.Sprintf("list, a page of %d", page), service.list, raw.list},
		{"info of a table", service.info, raw.info},
	} {
		fmt.Fprintf(b.out, "%-26s %11s %9s %9s   %9s %9s %9s\n", l.name, ms(l.service.median()), ms(l.service.at(0.99)), ms(l.service.at(1)),
			ms(l.raw.median()), ms(l.raw.at(0.99)), ms(l.raw.at(1)))
	}
	for _, l := range []struct {
		name         string
		service, raw time.Duration
	}{
		{"stop, with a checkpoint", service.stop, raw.stop},
		{"start", service.start, raw.start},
		{"first answer", service.first, raw.first},
	} {
		fmt.Fprintf(b.out, "%-26s %11s %19s   %9s\n", l.name, ms(l.service), "", ms(l.raw))
	}
	fmt.Fprintf(b.out, "%-26s %11d %19s   %9d\n", "size of the file, MB", service.fileBytes/1e6, "", raw.fileBytes/1e6)
	fmt.Fprintf(b.out, "%-26s %11d %19s   %9d\n", "memory gained, MiB", service.peak, "", raw.peak)
	_, err := fmt.Fprintf(b.out, "%-26s %11d %19s   %9d\n", "the same by opening, MiB", service.grew, "", raw.grew)
	return err
}

// smallColumns and smallCSV are what goes into each table.
func smallColumns() (out []string) {
	for i := range wide {
		out = append(out, fmt.Sprintf("c%02d", i))
	}
	return out
}

func smallCSV() []byte {
	out := []byte(strings.Join(smallColumns(), ",") + "\n")
	for row := range long {
		for c := range wide {
			if c > 0 {
				out = append(out, ',')
			}
			out = fmt.Appendf(out, "%s %d", words[(row+c)%len(words)], row*wide+c)
		}
		out = append(out, '\n')
	}
	return out
}
