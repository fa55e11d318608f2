package sql

// blockBytes is the block size of every catalog that the host makes.
const blockBytes = 65536

// SizeOf is an expression for the bytes that a table (not a view) takes: the
// blocks that hold its data, and for rows that no checkpoint has written yet an
// estimate of 16 bytes a text and 8 bytes any other value. Blocks that small
// tables share count for each.
func SizeOf(t Table) Statement {
	return New(`(SELECT count(DISTINCT block) FILTER (block >= 0) * ? + coalesce(sum(
			CASE segment_type WHEN 'VARCHAR' THEN 16 ELSE 8 END * count) FILTER (NOT persistent AND segment_type <> 'VALIDITY'), 0)::BIGINT
		FROM (SELECT *, unnest(list_append(additional_block_ids, block_id)) AS block FROM pragma_storage_info(?)))`,
		blockBytes, Literal(t.String()))
}
