package tables

import (
	"fmt"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// checked is a column of the file, with the length that DuckDB does not check.
func checked(c column) sql.Statement {
	name := sql.Name(c.Name)
	if c.Length == nil {
		return sql.New("?", name)
	}
	return sql.New("CASE WHEN length(?) > ? THEN error(? || length(?)) ELSE ? END", name, *c.Length,
		fmt.Sprintf("Field %s: STRING(%d) has maximum length %d but got a value with length ", c.Name, *c.Length, *c.Length), name, name)
}

// reader is the file as a table. Nothing is guessed: the dialect and the types
// are given, so one file means one thing.
func reader(s shape, src source) sql.Statement {
	var (
		types   []sql.Statement
		notNull []sql.Statement
	)
	for _, name := range src.columns {
		c, _ := s.find(name)
		types = append(types, sql.New("?: ?", sql.Name(name), sql.Literal(c.Type)))
		if !s.IsTyped && c.Type == "VARCHAR" {
			// In a string table an empty field is an empty text, never NULL.
			notNull = append(notNull, sql.New("?", sql.Literal(name)))
		}
	}
	return sql.New(`read_csv(?, auto_detect = false, columns = {?}, header = ?, skip = ?, delim = ?, quote = ?, escape = ?,
		nullstr = '', force_not_null = [?]::VARCHAR[], compression = ?, strict_mode = true)`,
		sql.Literal(src.path), types, boolean(src.header), number(src.options.IgnoredLines), sql.Literal(src.options.Delimiter),
		sql.Literal(*src.options.Enclosure), sql.Literal(*src.options.Enclosure), notNull, compression(src.options.Compression))
}

func boolean(b bool) sql.Statement {
	if b {
		return sql.New("true")
	}
	return sql.New("false")
}

func compression(c api.Compression) sql.Literal {
	if c == "" {
		return "auto"
	}
	return sql.Literal(c)
}
