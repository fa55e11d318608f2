package engine

import (
	"context"
	gosql "database/sql"

	"github.com/duckdb/duckdb-go/v2"
)

// Library is DuckDB as it is linked into this program.
type Library struct {
	Version    string
	Extensions []Extension // that this machine has, by name
}

// Extension is a part of DuckDB that a statement may need.
type Extension struct {
	Name string
	// Static is linked into the program and always there. Any other one is a file
	// that somebody installed on this machine; no cell loads it by itself.
	Static bool
}

// LookAtLibrary asks an instance of its own, because a cell may not look into the
// folder of extensions, and nothing of the network.
func LookAtLibrary(ctx context.Context) (l Library, err error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return l, classify(ctx, err)
	}
	db := gosql.OpenDB(connector)
	defer db.Close()
	rows, err := db.QueryContext(ctx, `SELECT version(), extension_name, coalesce(install_mode = 'STATICALLY_LINKED', false)
		FROM duckdb_extensions() WHERE installed OR loaded ORDER BY 2`)
	if err != nil {
		return l, classify(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var x Extension
		if err := rows.Scan(&l.Version, &x.Name, &x.Static); err != nil {
			return l, classify(ctx, err)
		}
		l.Extensions = append(l.Extensions, x)
	}
	return l, classify(ctx, rows.Err())
}
