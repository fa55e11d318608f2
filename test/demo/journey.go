package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	seed   = 1
	bucket = "in.c-demo"
)

// source is the row that the CSV file has.
func source(id int64) order { return makeOrder(seed, id) }

// journey is the main job against a running service.
type journey struct {
	dir  string // for the CSV files
	rows int64
	out  *report

	service *service.Service
	project service.Project
	csv     csvFile
	fileID  string // of the uploaded CSV file
	figures []figure
}

// start starts the service.
func (j *journey) start(ctx context.Context, o service.Options) error {
	return j.out.run(ctx, step{"start", func(ctx context.Context) (string, error) {
		s, err := service.Start(ctx, o)
		if err != nil {
			return "", err
		}
		var health struct {
			Duckdb string `json:"duckdbVersion"`
		}
		if _, err := s.Admin().Do(ctx, http.MethodGet, "/health", nil, &health); err != nil {
			return "", errors.Join(err, s.Kill())
		}
		j.service = s
		return fmt.Sprintf("%s, DuckDB %s", s.URL(), health.Duckdb), nil
	}})
}

// play does everything and shows the figures. The tables are filled from one
// file. The typed one has a primary key, which makes the import take another way.
func (j *journey) play(ctx context.Context) error {
	if err := j.prepare(ctx); err != nil {
		return err
	}
	for _, t := range []table{{name: "orders", typed: true}, {name: "orders_text"}} {
		if err := j.load(ctx, t); err != nil {
			return err
		}
		if err := j.check(ctx, t); err != nil {
			return err
		}
	}
	j.out.title("Paid orders by month, from both tables alike and as Go computes them")
	return printFigures(j.out.w, j.figures)
}

// prepare makes the file, the project and the bucket, and uploads the file.
func (j *journey) prepare(ctx context.Context) error {
	return j.out.run(ctx,
		step{"generate", func(context.Context) (what string, err error) {
			j.csv, err = generate(filepath.Join(j.dir, "orders.csv"), j.rows)
			j.figures = figuresOf(j.rows, source)
			return fmt.Sprintf("%s rows, %d columns, %s", count(j.rows), len(columns), megabytes(j.csv.size)), err
		}},
		step{"create project", func(ctx context.Context) (what string, err error) {
			j.project, err = j.service.Admin().CreateProject(ctx, "demo")
			return j.project.ID, err
		}},
		step{"create bucket", func(ctx context.Context) (string, error) { return bucket, j.project.CreateBucket(ctx, bucket) }},
		step{"upload", j.upload},
		step{"register", func(ctx context.Context) (string, error) {
			f, err := j.project.Register(ctx, j.fileID)
			if err == nil && f.State != "registered" {
				err = fmt.Errorf("the file is %s, want registered", f.State)
			}
			return "file " + f.ID, err
		}},
	)
}

func (j *journey) upload(ctx context.Context) (what string, err error) {
	if j.fileID, err = j.project.Prepare(ctx, "orders.csv"); err != nil {
		return "", err
	}
	f, err := os.Open(j.csv.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var got struct {
		SizeBytes int64  `json:"sizeBytes"`
		SHA256    string `json:"sha256"`
	}
	if _, err := j.project.Do(ctx, http.MethodPut, j.project.Path("files", j.fileID, "content"), f, &got); err != nil {
		return "", err
	}
	if got.SizeBytes != j.csv.size || got.SHA256 != j.csv.sha256 {
		return "", fmt.Errorf("the service has %d bytes with SHA-256 %s, the file has %d with %s", got.SizeBytes, got.SHA256, j.csv.size, j.csv.sha256)
	}
	return fmt.Sprintf("%s, SHA-256 as sent", megabytes(got.SizeBytes)), nil
}

// load creates a table and imports the file into it.
func (j *journey) load(ctx context.Context, t table) error {
	var (
		specs any = columnNames()
		key   []string
		kind  = "all columns text, no primary key"
	)
	if t.typed {
		specs, key, kind = columns, []string{"id"}, "typed columns, primary key id"
	}
	j.out.title("Table %s: %s", t.name, kind)
	return j.out.run(ctx,
		step{"create table", func(ctx context.Context) (string, error) {
			return bucket + "." + t.name, j.project.CreateTable(ctx, bucket, t.name, specs, key...)
		}},
		step{"import", func(ctx context.Context) (string, error) {
			start := time.Now()
			got, err := j.project.Import(ctx, bucket, t.name, j.fileID)
			if err == nil && (got.ImportedRowsCount != j.rows || got.TableRowsCount != j.rows) {
				err = fmt.Errorf("%d rows were imported and %d are in the table, want %d", got.ImportedRowsCount, got.TableRowsCount, j.rows)
			}
			speed := int64(float64(j.rows) / time.Since(start).Seconds())
			return fmt.Sprintf("%s rows, %s a second", count(got.ImportedRowsCount), count(speed)), err
		}},
	)
}
