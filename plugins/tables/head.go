package tables

import (
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	// headerLines is how many lines a header may have: quoted names can hold breaks.
	headerLines = 20
	// maxIgnoredLines keeps the head of a file within what a callback returns.
	maxIgnoredLines = sdk.MaxQueryRows - headerLines
	// noDelimiter is a character that no text file has, so that a line is one field.
	noDelimiter = "\x01"
)

// readHead checks the lines of a file that are to be ignored and returns the next
// ones, as many as are asked for. It reads plain lines: DuckDB's own detection guesses, and
// fails on files whose later lines are broken.
//
// DuckDB skips records and not lines: one quote left open in an ignored line
// hides, without a word, the rows after it (measured, 1.5.6).
func readHead(c *sdk.Context, src source, next int) ([]string, error) {
	type line struct {
		Text string `json:"text"`
	}
	ignored := src.options.IgnoredLines
	found, err := sdk.Query[line](c, sql.New(`SELECT coalesce(text, '') AS text FROM read_csv(?, auto_detect = false, columns = {text: 'VARCHAR'},
		header = false, delim = ?, quote = '', escape = '', compression = ?, strict_mode = false) LIMIT ?`,
		sql.Literal(src.path), sql.Literal(noDelimiter), compression(src.options.Compression), ignored+next))
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(found))
	for i, l := range found {
		lines[i] = l.Text
	}
	if len(lines) > 0 {
		lines[0] = strings.TrimPrefix(lines[0], "\ufeff")
	}
	for i, l := range lines[:min(ignored, len(lines))] {
		if _, ok := firstRecord(l, src.options.Delimiter[0], *src.options.Enclosure); !ok {
			row := strconv.Itoa(i + 1)
			return nil, sdk.ErrCSV.Errorf("row %s is to be ignored, but has a quote that is not closed or stands where none may: it would hide the rows after it", row).With("row", row)
		}
	}
	return lines[min(ignored, len(lines)):], nil
}

// readHeader returns the names in the first record after the ignored lines. It reads
// one line, and more only for a name with a break in it: they may be as long as
// rows get, and a callback returns 1 MiB.
func readHeader(c *sdk.Context, src source) ([]string, error) {
	for _, most := range []int{1, headerLines} {
		lines, err := readHead(c, src, most)
		if err != nil {
			return nil, err
		}
		if len(lines) == 0 {
			return nil, api.ErrNoColumns.Errorf("the file is empty; it needs a header, or columns in the request").At("/fileId")
		}
		if names, ok := firstRecord(strings.Join(lines, "\n"), src.options.Delimiter[0], *src.options.Enclosure); ok {
			return names, nil
		}
	}
	row := strconv.Itoa(src.options.IgnoredLines + 1)
	return nil, sdk.ErrCSV.Errorf("row %s (the header) has a quote that is not closed within %d lines or stands where none may", row, headerLines).With("row", row)
}

// firstRecord splits the first record of RFC 4180 text. ok is false when a quote
// stays open, or stands where DuckDB and RFC 4180 differ: after blanks at the
// start of a field, or before anything but the end of one.
func firstRecord(text string, delimiter byte, enclosure string) (fields []string, ok bool) {
	for {
		field, rest, ok := firstField(text, delimiter, enclosure)
		fields = append(fields, field)
		if !ok || rest == "" || rest[0] != delimiter {
			return fields, ok
		}
		text = rest[1:]
	}
}

// firstField splits off a field. The rest starts with what ended it: a delimiter,
// a line break, or nothing.
func firstField(text string, delimiter byte, enclosure string) (field, rest string, ok bool) {
	if enclosure != "" && strings.HasPrefix(text, enclosure) {
		return quotedField(text[1:], delimiter, enclosure[0])
	}
	end := strings.IndexAny(text, string(delimiter)+"\n")
	if end < 0 {
		end = len(text)
	}
	field, rest = text[:end], text[end:]
	if rest == "" || rest[0] == '\n' {
		field = strings.TrimSuffix(field, "\r")
	}
	return field, rest, enclosure == "" || !strings.HasPrefix(strings.TrimLeft(field, " \t"), enclosure)
}

// quotedField splits off a field whose quote has been opened.
func quotedField(text string, delimiter, quote byte) (field, rest string, ok bool) {
	var b strings.Builder
	for {
		part, after, closed := strings.Cut(text, string(quote))
		b.WriteString(part)
		if !closed {
			return b.String(), "", false
		}
		if after == "" || after[0] != quote {
			end := strings.TrimPrefix(after, "\r")
			if end == "" || end[0] == '\n' {
				return b.String(), end, true
			}
			return b.String(), after, after[0] == delimiter
		}
		b.WriteByte(quote)
		text = after[1:]
	}
}
