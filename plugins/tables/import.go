package tables

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
)

// source is the file of an import and how to read it.
type source struct {
	path    string
	bytes   int64 // as it lies on disk, compressed or not
	options api.CSVOptions
	columns []string // in the order of the file
	header  bool     // the first line after the ignored ones names them
}

func importFile(c *sdk.Context, in api.ImportRequest) (sdk.Unit, error) {
	t := tableOf(in.TableRequest)
	if in.Options.ImportType == api.Incremental {
		return sdk.Unit{}, sdk.ErrUnsupported.Errorf("incremental import is not supported yet; use importType full").At("/options/importType")
	}
	if err := checkCSV(&in.CSV); err != nil {
		return sdk.Unit{}, err
	}
	p, err := find(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	if err := p.mayWrite(); err != nil {
		return sdk.Unit{}, err
	}
	if p.kind == kindView {
		return sdk.Unit{}, sdk.ErrInvalid.Errorf("%q is a view; rows are imported into tables", t.Name)
	}
	s, err := describe(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	src, err := open(c, in)
	if err != nil {
		return sdk.Unit{}, err
	}
	if err := checkColumns(src.columns, s); err != nil {
		return sdk.Unit{}, err
	}
	if src.bytes < stageBytes {
		return refill(t, s, src), nil
	}
	old, err := findReplaceable(c, t, s)
	if err != nil || old == nil {
		return refill(t, s, src), err
	}
	return replace(*old, s, src), nil
}

// checkCSV fills the dialect's defaults and checks the rest.
func checkCSV(o *api.CSVOptions) error {
	if o.Delimiter == "" {
		o.Delimiter = ","
	}
	if o.Enclosure == nil {
		quote := `"`
		o.Enclosure = &quote
	}
	if len(o.Delimiter) != 1 || o.Delimiter == "\n" || o.Delimiter == "\r" {
		return api.ErrCSVParams.Errorf("delimiter %q must be one ASCII character", o.Delimiter).At("/csv/delimiter")
	}
	if len(*o.Enclosure) > 1 || *o.Enclosure == o.Delimiter || utf8.RuneCountInString(*o.Enclosure) != len(*o.Enclosure) {
		return api.ErrCSVParams.Errorf("enclosure %q must be empty or one ASCII character other than the delimiter", *o.Enclosure).At("/csv/enclosure")
	}
	if o.IgnoredLines < 0 || o.IgnoredLines > maxIgnoredLines {
		return api.ErrCSVParams.Errorf("ignoredLines must be 0 to %d", maxIgnoredLines).At("/csv/ignoredLines")
	}
	return nil
}

// open finds the file and the columns in it.
func open(c *sdk.Context, in api.ImportRequest) (source, error) {
	f, err := c.Files().Get(in.FileID)
	if err != nil {
		return source{}, err
	}
	if f.State != sdk.FileRegistered {
		return source{}, api.ErrNoContent.Errorf("file %q is %s; upload and register it first (storage.fileNotUploaded)", f.ID, f.State).At("/fileId")
	}
	src := source{path: f.HostPath, bytes: f.SizeBytes, options: in.CSV, columns: in.Columns, header: in.Columns == nil}
	switch {
	case src.header:
		src.columns, err = readHeader(c, src)
	case in.CSV.IgnoredLines > 0:
		_, err = readHead(c, src, 0)
	}
	return src, err
}

// checkColumns compares the file's columns with the table's. Case counts, as in
// Keboola, although DuckDB ignores it.
func checkColumns(columns []string, s shape) error {
	if len(columns) == 0 {
		return api.ErrNoColumns.Errorf("the file has no columns").At("/columns")
	}
	var unknown []string
	for i, name := range columns {
		if slices.Contains(columns[:i], name) {
			return api.ErrDuplicateName.Errorf("column %q stands twice in the file", name).At("/columns")
		}
		if _, ok := s.find(name); !ok {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		return api.ErrColumns.Errorf("Columns %q can be imported as it was not found between columns %q of destination table.",
			strings.Join(unknown, ", "), strings.Join(s.names(), ", ")).At("/columns").With("columns", strings.Join(unknown, ","))
	}
	return nil
}
