package registry

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

//go:embed migrations
var migrations embed.FS

// Aliases of the two service-wide catalogs.
const (
	registryAlias = "registry"
	filesAlias    = "files"
)

// Migrate brings the inside of a catalog to the newest version: a registry by
// its alias, any other catalog as a project's. Each migration and its version
// commit together, so a failed one leaves the file as it was. A file of a newer
// version than this binary knows is refused.
func Migrate(ctx context.Context, s *engine.Session) error {
	folder, schema := "catalog", "__storage"
	switch s.Alias() {
	case registryAlias:
		folder, schema = "registry", "main"
	case filesAlias:
		folder, schema = "files", "main"
	}
	if _, err := s.Exec(sql.New("CREATE SCHEMA IF NOT EXISTS ?", sql.Name(schema))); err != nil {
		return err
	}
	driver := &migrateDriver{session: s, table: sql.Table{Schema: schema, Name: "schema_migrations"}}
	if err := driver.init(); err != nil {
		return err
	}
	source, err := iofs.New(migrations, path.Join("migrations", folder))
	if err != nil {
		return err
	}
	current, _, err := driver.Version()
	if err != nil {
		return err
	}
	if newest, err := newestVersion(folder); err != nil {
		return err
	} else if current > newest {
		return sdk.ErrUnavailable.Errorf("catalog %s has version %d, this program knows versions up to %d: run a newer release", s.Alias(), current, newest)
	}
	m, err := migrate.NewWithInstance("iofs", source, "duckdb", driver)
	if err != nil {
		return err
	}
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return fmt.Errorf("migrate catalog %s: %w", s.Alias(), err)
	}
	return nil
}

func newestVersion(folder string) (int, error) {
	entries, err := migrations.ReadDir(path.Join("migrations", folder))
	if err != nil {
		return 0, err
	}
	newest := 0
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		v, err := strconv.Atoi(number)
		if err != nil {
			return 0, fmt.Errorf("migration %s has no number: %w", e.Name(), err)
		}
		newest = max(newest, v)
	}
	return newest, nil
}

// migrateDriver lets golang-migrate work on a session; it ships none for DuckDB.
//
// golang-migrate marks a version dirty, runs it, and marks it clean. Here the
// dirty mark opens a transaction and the clean mark commits it, so that no file
// is ever found dirty.
type migrateDriver struct {
	session *engine.Session
	table   sql.Table
}

func (d *migrateDriver) init() error {
	_, err := d.session.Exec(sql.New("CREATE TABLE IF NOT EXISTS ? (version INTEGER NOT NULL)", d.table))
	return err
}

func (d *migrateDriver) Version() (version int, dirty bool, err error) {
	version = database.NilVersion
	err = d.session.Scan(sql.New("SELECT version FROM ?", d.table), func(scan func(...any) error) error {
		return scan(&version)
	})
	return version, false, err
}

func (d *migrateDriver) SetVersion(version int, dirty bool) error {
	if dirty {
		return d.session.Begin()
	}
	for _, st := range []sql.Statement{
		sql.New("DELETE FROM ?", d.table),
		sql.New("INSERT INTO ? VALUES (?)", d.table, version),
	} {
		if _, err := d.session.Exec(st); err != nil {
			return err
		}
	}
	return d.session.Commit()
}

func (d *migrateDriver) Run(migration io.Reader) error {
	text, err := io.ReadAll(migration)
	if err != nil {
		return err
	}
	_, err = d.session.Exec(sql.Raw(string(text)))
	return err
}

// The rest of golang-migrate's interface. The session has the catalog to itself
// while it is migrated, so there is nothing to lock, and nothing asks to drop it.
func (d *migrateDriver) Lock() error   { return nil }
func (d *migrateDriver) Unlock() error { return nil }
func (d *migrateDriver) Close() error  { return nil }
func (d *migrateDriver) Drop() error   { return errors.ErrUnsupported }
func (d *migrateDriver) Open(string) (database.Driver, error) {
	return nil, errors.ErrUnsupported
}
