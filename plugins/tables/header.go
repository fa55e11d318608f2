package tables

import (
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// headerLines is how many lines a header may have: quoted names can hold breaks.
const headerLines = 20

// noDelimiter is a character that no text file has, so that a line is one field.
const noDelimiter = "\x01"

// readHeader returns the names in the first record of a file. It reads plain
// lines: DuckDB's own detection guesses, and fails on files whose later lines
// are broken.
func readHeader(c *sdk.Context, src source) ([]string, error) {
	type line struct {
		Text string `json:"text"`
	}
	lines, err := sdk.Query[line](c, sql.New(`SELECT coalesce(text, '') AS text FROM read_csv(?, auto_detect = false, columns = {text: 'VARCHAR'},
		header = false, delim = ?, quote = '', escape = '', compression = ?, strict_mode = false) LIMIT ?`,
		sql.Literal(src.path), sql.Literal(noDelimiter), compression(src.options.Compression), headerLines))
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, api.ErrNoColumns.Errorf("the file is empty; it needs a header, or columns in the request").At("/fileId")
	}
	raw := make([]string, len(lines))
	for i, l := range lines {
		raw[i] = l.Text
	}
	text := strings.TrimPrefix(strings.Join(raw, "\n"), "\ufeff")
	names, ok := firstRecord(text, src.options.Delimiter[0], *src.options.Enclosure)
	if !ok {
		return nil, sdk.ErrCSV.Errorf("row 1 (the header) opens a quote that is not closed within %d lines", headerLines).With("row", "1")
	}
	return names, nil
}

// firstRecord splits the first record of RFC 4180 text. ok is false when a
// quote stays open.
func firstRecord(text string, delimiter byte, enclosure string) (fields []string, ok bool) {
	var field strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		isQuote := enclosure != "" && c == enclosure[0]
		switch {
		case quoted && isQuote && i+1 < len(text) && text[i+1] == c:
			field.WriteByte(c)
			i++
		case isQuote && (quoted || field.Len() == 0):
			quoted = !quoted
		case !quoted && c == delimiter:
			fields = append(fields, field.String())
			field.Reset()
		case !quoted && c == '\n':
			return append(fields, strings.TrimSuffix(field.String(), "\r")), true
		default:
			field.WriteByte(c)
		}
	}
	return append(fields, strings.TrimSuffix(field.String(), "\r")), !quoted
}
