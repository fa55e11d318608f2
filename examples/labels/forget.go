package main

import (
	"time"

	buckets "github.com/keboola/duckdb-storage/plugins/buckets/api"
	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// forgetTable removes the labels of a table that was dropped. It may be told of it
// twice, and late: labels of a new table with the same name are not touched.
func forgetTable(c *sdk.Context, n sdk.Notice[tables.TableEvent]) error {
	return forget(c, n.Committed, sql.New(`lower("schema") = lower(?) AND lower("table") = lower(?)`, n.Payload.Schema, n.Payload.Table))
}

func forgetBucket(c *sdk.Context, n sdk.Notice[buckets.BucketEvent]) error {
	return forget(c, n.Committed, sql.New(`lower("schema") = lower(?)`, n.Payload.Bucket))
}

func forget(c *sdk.Context, before time.Time, where sql.Statement) error {
	found, err := labelled(c, where)
	if err != nil || len(found) == 0 {
		return err
	}
	_, err = c.Write(sdk.Unit{Do: []sql.Statement{
		sql.New("DELETE FROM ? WHERE ? AND created < ?::TIMESTAMP", store, where, before.Format("2006-01-02 15:04:05.999999")),
	}})
	return err
}
