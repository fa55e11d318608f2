package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// libraryVersion is the DuckDB that the service was built for and tested with. Another
// one may write files that this one cannot read.
const libraryVersion = "v1.5.6"

// required extensions are linked into the service: without the network, and without a
// file that somebody installs, they must be there.
var required = []string{"core_functions", "icu", "json", "parquet"}

// library looks at DuckDB: its version, its extensions, and whether a database can be
// kept where it spills.
func (x *examination) library(ctx context.Context) []Check {
	found, err := x.Library(ctx)
	if err != nil {
		return []Check{failed("duckdb", "%s: the program is broken, install it again", err), x.database(ctx)}
	}
	return []Check{judgeVersion(found.Version), x.database(ctx), judgeExtensions(found.Extensions)}
}

func judgeVersion(version string) Check {
	if version != libraryVersion {
		return failed("duckdb", "this is DuckDB %s, and the service was made for %s: install a build with that one", version, libraryVersion)
	}
	return ok("duckdb", "%s", version)
}

func judgeExtensions(all []engine.Extension) Check {
	const name = "extensions"
	var static, optional, missing []string
	for _, e := range all {
		if e.Static {
			static = append(static, e.Name)
		} else {
			optional = append(optional, e.Name)
		}
	}
	for _, r := range required {
		if !slices.Contains(static, r) {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		return failed(name, "%s must be linked into the service and is not: install a build that has it", strings.Join(missing, ", "))
	}
	others := "none besides"
	if len(optional) > 0 {
		others = "on this machine, and not loaded: " + strings.Join(optional, ", ")
	}
	return ok(name, "linked in: %s; %s; the network is not asked", strings.Join(static, ", "), others)
}

// database makes a database file where DuckDB spills, writes to it, closes it, and
// reads it from a second instance, with the settings of the service.
func (x *examination) database(ctx context.Context) Check {
	const name = "database"
	dir, err := os.MkdirTemp(existing(x.TempDir), ".try-*")
	if err != nil {
		return failed(name, "a database cannot be tried: %s", explain(err))
	}
	defer os.RemoveAll(dir)
	var storage string
	for _, step := range []struct {
		what string
		do   func(*engine.Session) error
	}{
		{"written", writeProbe},
		{"read again", func(s *engine.Session) (err error) { storage, err = readProbe(s); return err }},
	} {
		if err := inDatabase(ctx, dir, step.do); err != nil {
			return failed(name, "a database in %s cannot be %s: %s", filepath.Dir(dir), step.what, explain(err))
		}
	}
	return ok(name, "a database can be made, written and read in %s, storage version %s", filepath.Dir(dir), storage)
}

// probeMemory is enough for a database of one row.
const probeMemory = 256 << 20

// inDatabase opens the database in a DuckDB of its own, and closes both.
func inDatabase(ctx context.Context, dir string, do func(*engine.Session) error) (err error) {
	e := engine.Open(engine.Config{
		Layout: disk.Layout{Root: dir, Runtime: dir}, Logger: hclog.NewNullLogger(), Memory: probeMemory, Threads: 1,
	})
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()
	cat := engine.Catalog{Alias: "doctor", Path: filepath.Join(dir, "doctor.duckdb"), Small: true}
	if err := e.Ensure(ctx, cat); err != nil {
		return err
	}
	s, err := e.Session(ctx, cat)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}

const probeText = "a row of the doctor"

func writeProbe(s *engine.Session) error {
	_, err := s.Exec(sql.New("CREATE TABLE probe AS SELECT ? AS row", sql.Literal(probeText)))
	return err
}

func readProbe(s *engine.Session) (storage string, err error) {
	var row string
	err = s.Scan(sql.New("SELECT row, (SELECT options['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()) FROM probe"),
		func(scan func(...any) error) error { return scan(&row, &storage) })
	if err == nil && row != probeText {
		err = fmt.Errorf("it holds %q, and %q was written", row, probeText)
	}
	return storage, err
}
