package crash_test

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

var update = flag.Bool("update", false, "write the goldens anew")

// goldenHeader says how a golden is read.
const goldenHeader = `# The file operations of a journey, in order, below the data directory.
# Ids, dates and random names are replaced. Equal lines that follow each other are
# one, so the number of writes is not shown, and so is a folder of files that is
# removed with all in it. Databases close in any order at the stop; here they are
# sorted by path. What DuckDB spills, sockets and pipes are left out.
# Written by: go test ./test/crash -run TestGolden -update
`

// What reaches the disk during the main job, in which order, and what of it before
// the answer. A change of durability is a change of these files.
func TestGolden(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	j := &journeys{t: t, dir: dataDir(t)}
	j.record("start-new", j.start)
	j.record("project-create", j.createProject)
	j.record("table-create", j.createTable)
	j.record("upload-register", j.upload)
	j.record("import-small", func(ctx context.Context) error { return j.load(ctx, 100_000) })
	j.record("import-large", func(ctx context.Context) error { return j.load(ctx, 300_000) })
	j.record("export", j.export)
	j.record("file-delete", j.deleteFile)
	j.record("stop", j.stop)
	j.record("start-again", j.start)
	j.record("insert-after-start", j.insert)
	j.record("project-drop", j.dropProject)
	stats := j.control.supervisor.Stats()
	t.Logf("since the second start %d calls were stopped, %d of which below the data directory, which took %s", stats.Stopped, stats.Judged, stats.Busy)
}

type journeys struct {
	t       *testing.T
	dir     string
	service *service.Service
	control *control
	admin   service.Client
	project service.Project
	file    string // id of the last one
}

// record compares what a step does with its golden.
func (j *journeys) record(name string, step func(context.Context) error) {
	j.t.Helper()
	ctx, cancel := context.WithTimeout(j.t.Context(), requestTimeout)
	defer cancel()
	began := time.Now()
	if err := step(ctx); err != nil {
		j.t.Fatalf("%s: %v", name, err)
	}
	took := time.Since(began)
	list := j.control.take()
	j.t.Logf("%s: %d operations in %s", name, len(list), took.Round(time.Millisecond))
	j.compare(name, reviewed(name, list))
}

var (
	spilled = regexp.MustCompile(`^\w+ tmp\b`)
	// removal is a part of the removal of a folder with all in it, in the order of the
	// file system.
	removal = regexp.MustCompile(`^(rmdir|unlink) files/project_P(/.*)?$`)
)

// reviewed is a list without what survives nothing and what differs between runs.
func reviewed(journey string, list []string) []string {
	list = slices.DeleteFunc(list, spilled.MatchString)
	switch journey {
	case "stop":
		slices.SortStableFunc(list, func(a, b string) int { return cmp.Compare(database(a), database(b)) })
	case "project-drop":
		for i := range list {
			list[i] = removal.ReplaceAllString(list[i], "remove files/project_P/...")
		}
	}
	return slices.Compact(list)
}

// database is the file of the database that an operation belongs to.
func database(op string) string {
	path, _, _ := strings.Cut(op, ".duckdb")
	return path[strings.IndexByte(path, ' ')+1:]
}

func (j *journeys) compare(name string, list []string) {
	j.t.Helper()
	path, got := filepath.Join("testdata", name+".golden"), goldenHeader+strings.Join(list, "\n")+"\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			j.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		j.t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		j.t.Errorf("%s: the operations changed; run with -update and review the difference (-want +got):\n%s", name, diff)
	}
}

func (j *journeys) answered(err error) error {
	j.control.mark("answered")
	return err
}

func (j *journeys) start(context.Context) error {
	j.service, j.control = supervised(j.t, j.dir)
	j.admin, j.project.URL = j.service.Admin(), j.service.URL()
	return j.answered(nil)
}

func (j *journeys) stop(context.Context) error { return j.service.Stop() }

func (j *journeys) createProject(ctx context.Context) (err error) {
	j.project, err = j.admin.CreateProject(ctx, mainProject)
	return j.answered(err)
}

func (j *journeys) createTable(ctx context.Context) error {
	if err := j.answered(j.project.CreateBucket(ctx, "in.c-main")); err != nil {
		return err
	}
	return j.answered(j.project.CreateTable(ctx, "in.c-main", "orders", []string{"id", "name"}))
}

func (j *journeys) upload(ctx context.Context) (err error) {
	if j.file, err = j.project.Prepare(ctx, "orders.csv"); j.answered(err) != nil {
		return err
	}
	_, err = j.project.Do(ctx, http.MethodPut, j.project.Path("files", j.file, "content"), bytes.NewReader(orders(10)), nil)
	if j.answered(err) != nil {
		return err
	}
	_, err = j.project.Register(ctx, j.file)
	return j.answered(err)
}

// load uploads a file of so many rows, which is not recorded, and imports it.
func (j *journeys) load(ctx context.Context, rows int) error {
	f, err := j.project.Upload(ctx, "orders.csv", bytes.NewReader(orders(rows)))
	if err != nil {
		return err
	}
	j.file = f.ID
	j.control.take()
	_, err = j.project.Import(ctx, "in.c-main", "orders", f.ID)
	return j.answered(err)
}

// orders is a CSV file with rows of about 20 bytes.
func orders(rows int) []byte {
	out := bytes.NewBufferString("id,name\n")
	for i := range rows {
		fmt.Fprintf(out, "%d,name of %d\n", i, i)
	}
	return out.Bytes()
}

func (j *journeys) export(ctx context.Context) error {
	_, err := j.project.Do(ctx, http.MethodPost, j.project.Path("tables", "in.c-main", "orders", "export"), map[string]any{}, nil)
	return j.answered(err)
}

func (j *journeys) deleteFile(ctx context.Context) error {
	_, err := j.project.Do(ctx, http.MethodDelete, j.project.Path("files", j.file), nil, nil)
	return j.answered(err)
}

func (j *journeys) insert(ctx context.Context) error {
	_, err := j.project.Query(ctx, `INSERT INTO "in.c-main".orders (id, name) VALUES ('1', 'one')`)
	return j.answered(err)
}

func (j *journeys) dropProject(ctx context.Context) error {
	_, err := j.admin.Do(ctx, http.MethodDelete, j.project.Path(), nil, nil)
	return j.answered(err)
}
