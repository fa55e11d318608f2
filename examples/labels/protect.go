package main

import (
	buckets "github.com/keboola/duckdb-storage/plugins/buckets/api"
	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// ErrProtected refuses to drop what is protected.
var ErrProtected = sdk.Code{Slug: "labels-protected", Title: "Protected by a label", Kind: sdk.Conflict, Driver: 3000}

// guard is asked before anything is dropped. The host asks inside the lease of the
// command, so nobody sets or removes a label between the answer and the drop.
type guard struct{ settings *sdk.Settings[Settings] }

func (g guard) table(c *sdk.Context, in tables.TableRequest) error {
	return g.refuse(c, sql.New(`lower("schema") = lower(?) AND lower("table") = lower(?)`, string(in.Schema), string(in.Table)))
}

func (g guard) bucket(c *sdk.Context, in buckets.DropRequest) error {
	return g.refuse(c, sql.New(`lower("schema") = lower(?)`, string(in.Bucket)))
}

func (g guard) refuse(c *sdk.Context, where sql.Statement) error {
	protected := g.settings.Get().Protected
	found, err := labelled(c, sql.New("? AND label = ?", where, protected))
	if err != nil || len(found) == 0 {
		return err
	}
	t := found[0]
	return ErrProtected.Errorf("table %q in %q has the label %q; remove it first", t.Table, t.Schema, protected).
		With("schema", string(t.Schema)).With("table", string(t.Table)).With("label", protected)
}
