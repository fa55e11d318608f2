package sql

import "strings"

// blockBytes is the block size of every catalog that the host makes.
const blockBytes = 65536

// SizeOf is an expression for the bytes that a table (not a view) takes: the
// blocks that hold its data, and for rows that no checkpoint has written yet an
// estimate of 16 bytes a text and 8 bytes any other value. Blocks that small
// tables share count for each.
//
// Of a table with a double quote in its name, which pragma_storage_info cannot be
// told (measured, DuckDB 1.5.6), it is an estimate of 8 bytes for each value.
func SizeOf(t Table) Statement {
	if strings.Contains(t.Schema+t.Name, `"`) {
		return New(`(SELECT estimated_size * column_count * 8 FROM duckdb_tables()
			WHERE database_name = ? AND ? AND ?)`, t.Database(), SameName("schema_name", t.Schema), SameName("table_name", t.Name))
	}
	return New(`(SELECT count(DISTINCT block) FILTER (block >= 0) * ? + coalesce(sum(
			CASE segment_type WHEN 'VARCHAR' THEN 16 ELSE 8 END * count) FILTER (NOT persistent AND segment_type <> 'VALIDITY'), 0)::BIGINT
		FROM (SELECT *, unnest(list_append(additional_block_ids, block_id)) AS block FROM pragma_storage_info(?)))`,
		blockBytes, Literal(t.String()))
}
