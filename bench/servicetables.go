package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// serviceTables is a service of its own.
type serviceTables struct {
	*site
	fileID string
}

func (b *bench) openServiceTables(ctx context.Context, csv string) (*serviceTables, error) {
	s, err := b.open(ctx, "many")
	if err != nil {
		return nil, err
	}
	id, err := s.upload(ctx, csv)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &serviceTables{site: s, fileID: id}, nil
}

func (s *serviceTables) pid() int { return s.service.PID() }

func (s *serviceTables) create(ctx context.Context, table string) error {
	return s.project.CreateTable(ctx, bucket, table, smallColumns())
}

func (s *serviceTables) load(ctx context.Context, table string) error {
	got, err := s.project.Import(ctx, bucket, table, s.fileID)
	if err != nil {
		return err
	}
	return wantRows(table, got.TableRowsCount, long)
}

func (s *serviceTables) list(ctx context.Context) (pages times, tables int, err error) {
	for token := ""; ; {
		var got struct {
			Items []struct {
				RowsCount int64 `json:"rowsCount"`
			} `json:"items"`
			NextPageToken string `json:"nextPageToken"`
		}
		took, err := timed(ctx, func(ctx context.Context) error {
			path := fmt.Sprintf("%s?limit=%d&pageToken=%s", s.project.Path("tables"), page, url.QueryEscape(token))
			_, err := s.project.Do(ctx, http.MethodGet, path, nil, &got)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		pages, tables = append(pages, took), tables+len(got.Items)
		if token = got.NextPageToken; token == "" {
			return pages, tables, nil
		}
	}
}

func (s *serviceTables) info(ctx context.Context, name string) error {
	var got struct {
		RowsCount int64 `json:"rowsCount"`
	}
	if _, err := s.project.Do(ctx, http.MethodGet, s.tablePath(table{name: name}), nil, &got); err != nil {
		return err
	}
	return wantRows(name, got.RowsCount, long)
}

func (s *serviceTables) reopen(ctx context.Context, name string) (r reopened, err error) {
	if r.stop, err = timed(ctx, func(context.Context) error { return s.service.Stop() }); err != nil {
		return r, err
	}
	file, err := os.Stat(filepath.Join(s.start.DataDir, "duckdb", "project_bench_main.duckdb"))
	if err != nil {
		return r, err
	}
	r.fileBytes = file.Size()
	begun := time.Now()
	again, err := service.Start(ctx, s.start)
	if err != nil {
		return r, err
	}
	r.start = time.Since(begun)
	s.service, s.project.URL = again, again.URL()
	r.grew, err = growth(s.pid(), func() (err error) {
		r.first, err = timed(ctx, func(ctx context.Context) error { return s.info(ctx, name) })
		return err
	})
	return r, err
}
