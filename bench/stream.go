package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// streamMemory is engine.memory_limit of the service that streams: it must stay
	// below mostMemory as a whole.
	streamMemory = "512MB"
	// mostMemory is the target for its peak, in MiB.
	mostMemory = 1024
)

// big is the table that is streamed.
var big = table{name: "big", typed: true}

// form is a way to stream: its media type, and what a whole answer looks like.
type form struct {
	mediaType string
	whole     func(t *tally, rows int64) error
}

var (
	asCSV    = form{"text/csv", func(t *tally, rows int64) error { return wantRows("the CSV", t.lines-1, rows) }}
	asNDJSON = form{"application/x-ndjson", func(t *tally, rows int64) error { return wantRows("the NDJSON", t.lines, rows) }}
	// A Parquet file begins and ends with its magic number.
	asParquet = form{"application/vnd.apache.parquet", func(t *tally, _ int64) error {
		return errors.Join(t.begins("PAR1"), t.ends("PAR1"))
	}}
	// A stream of Arrow ends with a marker and an empty length.
	asArrow = form{"application/vnd.apache.arrow.stream", func(t *tally, _ int64) error {
		return errors.Join(t.begins("\xff\xff\xff\xff"), t.ends("\xff\xff\xff\xff\x00\x00\x00\x00"))
	}}
)

// stream measures a long result in one form while previews are asked for.
func stream(ctx context.Context, b *bench, name string, f form) error {
	s, err := b.streamSite(ctx)
	if err != nil {
		return err
	}
	alone, err := s.previews(ctx, func() bool { return true }, b.requests)
	if err != nil {
		return err
	}
	pid := s.service.PID()
	if err := resetPeak(pid); err != nil {
		return err
	}
	counted := &tally{}
	var first, took time.Duration
	var beside times
	over, end := context.WithCancel(ctx)
	defer end()
	err = together(ctx,
		func(ctx context.Context) (err error) {
			defer end()
			first, took, err = s.stream(ctx, f, counted)
			return err
		},
		func(ctx context.Context) (err error) {
			beside, err = s.previews(ctx, func() bool { return over.Err() == nil }, 0)
			return err
		})
	if err != nil {
		return err
	}
	if err := f.whole(counted, b.streamRows); err != nil {
		return err
	}
	mib, err := peak(pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\n%s: %d rows, %.0f MB\n", name, b.streamRows, float64(counted.bytes)/1e6)
	fmt.Fprintf(b.out, "  first byte after %s ms, all after %.2f s: %.2f million rows/s, %.0f MB/s\n", ms(first), took.Seconds(),
		float64(b.streamRows)/1e6/took.Seconds(), float64(counted.bytes)/1e6/took.Seconds())
	fmt.Fprintf(b.out, "  peak memory %d MiB with engine.memory_limit %s, %s\n", mib, streamMemory, verdict(float64(mib), mostMemory))
	_, err = fmt.Fprintf(b.out, "  previews: p50 %s ms, p99 %s ms; beside the stream, %d of them: p50 %s ms, p99 %s ms\n",
		ms(alone.median()), ms(alone.at(0.99)), len(beside), ms(beside.median()), ms(beside.at(0.99)))
	return err
}

// streamSite returns the service that all streams use, which it starts for the
// first: a table of the rows that were asked for, under a limit of memory.
func (b *bench) streamSite(ctx context.Context) (*site, error) {
	if b.streams != nil {
		return b.streams, nil
	}
	s, err := b.open(ctx, "stream", "DUCKDB_STORAGE_ENGINE__MEMORY_LIMIT="+streamMemory)
	if err != nil {
		return nil, err
	}
	if err := b.fillStreams(ctx, s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	b.streams = s
	return s, nil
}

// fillStreams repeats the rows of the file until there are enough.
func (b *bench) fillStreams(ctx context.Context, s *site) error {
	for _, t := range []table{typed, big} {
		if err := s.project.CreateTable(ctx, bucket, t.name, specs(t)); err != nil {
			return err
		}
	}
	id, err := s.upload(ctx, b.csv)
	if err != nil {
		return err
	}
	if _, err := s.project.Import(ctx, bucket, typed.name, id); err != nil {
		return err
	}
	for left := b.streamRows; left > 0; left -= b.rows {
		more := fmt.Sprintf(`INSERT INTO "%[1]s".%[2]s SELECT * FROM "%[1]s".%[3]s LIMIT %[4]d`, bucket, big.name, typed.name, min(left, b.rows))
		if _, err := s.project.Query(ctx, more); err != nil {
			return fmt.Errorf("fill %s: %w", big.name, err)
		}
	}
	return nil
}

// stream asks for all rows of the big table and returns the times to the first
// byte and to the last.
func (s *site) stream(ctx context.Context, f form, counted *tally) (first, took time.Duration, err error) {
	body := fmt.Sprintf(`{"sql": "SELECT * FROM \"%s\".%s"}`, bucket, big.name)
	start := time.Now()
	err = s.plain(ctx, http.MethodPost, s.project.Path("query"), f.mediaType, strings.NewReader(body), counted)
	return counted.first.Sub(start), time.Since(start), err
}

// previews asks for previews one after the other: at least one, at most so many if
// most is not 0, and no more once more says so.
func (s *site) previews(ctx context.Context, more func() bool, most int) (times, error) {
	path := fmt.Sprintf("%s?limit=%d", s.tablePath(typed, "preview"), previewRows)
	var out times
	for {
		took, err := timed(ctx, func(ctx context.Context) error {
			return s.plain(ctx, http.MethodGet, path, "application/json", nil, io.Discard)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, took)
		if !more() || most > 0 && len(out) == most {
			return out, nil
		}
	}
}
