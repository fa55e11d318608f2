package engine

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"syscall"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
)

// isFatal reports whether DuckDB's instance or one of its databases is unusable
// after the error.
func isFatal(err error) bool {
	var de *duckdb.Error
	if !errors.As(err, &de) {
		return false
	}
	return de.Type == duckdb.ErrorTypeFatal || de.Type == duckdb.ErrorTypeInternal ||
		strings.Contains(de.Msg, "has been invalidated")
}

// classify turns an error of DuckDB, of the file system or of a context into an
// *sdk.Error. It is the only place that reads DuckDB's messages.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var known *sdk.Error
	if errors.As(err, &known) {
		return known
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		return sdk.ErrTimeout.Errorf("the statement ran longer than the request may take")
	case errors.Is(err, context.Canceled) || ctx.Err() != nil:
		return sdk.ErrCancelled.Errorf("the request ended before the statement did")
	case strings.Contains(err.Error(), "No space left on device"):
		return disk.Explain(syscall.ENOSPC)
	}
	var de *duckdb.Error
	if !errors.As(err, &de) {
		return disk.Explain(err)
	}
	message := plainMessage(de.Msg)
	if strings.Contains(de.Msg, "CSV Error on Line") {
		return csvError(de.Msg)
	}
	if strings.Contains(de.Msg, "CSV Parser state machine") {
		return sdk.ErrCSV.Errorf("the file mixes line ends (LF, CR LF, CR) outside of quotes, or has a quote where none may stand")
	}
	if reason := machineFault(err); reason != "" {
		return sdk.ErrUnavailable.Errorf("a file of the project cannot be read or written (%s); the log says which; repeat the request when that is put right", reason)
	}
	if strings.Contains(message, "Corrupt database file") {
		broken := ErrBroken.Errorf("a part of the project's database file is damaged; the log says which; put back a good copy of it")
		broken.Retryable = false
		return broken
	}
	if missingCatalog.MatchString(message) {
		return sdk.ErrUnavailable.Errorf("the database of the project that this bucket is linked from cannot be opened now; everything else of this project is served")
	}
	switch de.Type {
	case duckdb.ErrorTypeTransaction:
		if strings.Contains(message, "Attempting to write to database") {
			return sdk.ErrDenied.Errorf("a statement may write to the project's own catalog only")
		}
		if strings.Contains(message, "launched in read-only mode") {
			return sdk.ErrDenied.Errorf("a read changes nothing, so it may neither write nor advance a sequence; use nextval in an INSERT or UPDATE")
		}
		return sdk.ErrConflict.Errorf("another write changed the same data: %s", message).Retry()
	case duckdb.ErrorTypeCatalog:
		return catalogError(message)
	case duckdb.ErrorTypeConstraint:
		return constraintError(message)
	case duckdb.ErrorTypeOutOfMemory:
		return memoryError(message)
	case duckdb.ErrorTypePermission:
		return sdk.ErrDenied.Errorf("%s", message)
	case duckdb.ErrorTypeInterrupt:
		return sdk.ErrCancelled.Errorf("the statement was interrupted")
	case duckdb.ErrorTypeIO, duckdb.ErrorTypeSerialization:
		if strings.HasPrefix(message, "No files found") {
			return sdk.ErrSQL.Errorf("%s", message)
		}
		return err // of the machine, not of the statement: the log tells more
	default:
		return sdk.ErrSQL.Errorf("%s", message)
	}
}

// machineFaults are the errors of the operating system that say nothing about a
// statement and nothing about the content of a file.
var machineFaults = []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOENT, syscall.ESTALE}

// machineFault returns the operating system's error in an error of DuckDB, which has
// it as text only, or nothing.
func machineFault(err error) string {
	var de *duckdb.Error
	if !errors.As(err, &de) || de.Type != duckdb.ErrorTypeIO && !strings.Contains(de.Msg, "Failed to commit") {
		return ""
	}
	for _, fault := range machineFaults {
		// Go says "too many open files" where the C library says "Too many open files".
		if strings.Contains(strings.ToLower(de.Msg), fault.Error()) {
			return fault.Error()
		}
	}
	return ""
}

// plainMessage drops the error's class, DuckDB's advice and the excerpt of a
// statement that the user never wrote.
func plainMessage(msg string) string {
	if class, rest, ok := strings.Cut(msg, ": "); ok && strings.HasSuffix(class, "Error") {
		msg = rest
	}
	msg, _, _ = strings.Cut(msg, "\n\nLINE ")
	return strings.TrimSpace(msg)
}

var (
	// missingCatalog is said of a project's own name for its catalog, which only a
	// linked view has.
	missingCatalog = regexp.MustCompile(`^Catalog "project_[A-Za-z0-9_-]+" does not exist`)
	missingTable   = regexp.MustCompile(`^Table with name "?(.+?)"? does not exist`)
	missingSchema  = regexp.MustCompile(`(?:schema|^Schema with name) "?(.+?)"? does not exist`)
	existingTable  = regexp.MustCompile(`^(?:Table|View) with name .* already exists`)
	notNull        = regexp.MustCompile(`^NOT NULL constraint failed: .*\.([^.]+)$`)
)

// memoryError leaves out DuckDB's advice, which is for whoever may change settings.
func memoryError(message string) error {
	first, advice, _ := strings.Cut(message, "\n")
	if strings.Contains(advice, "max_temp_directory_size") {
		return sdk.ErrOutOfMemory.Errorf("the statement needs more memory than there is, and more room for what it spills to disk than engine.temp_limit or the free space allows: %s", first)
	}
	return sdk.ErrOutOfMemory.Errorf("the statement needs more memory than the project has now: %s", first)
}

func catalogError(message string) error {
	switch {
	case existingTable.MatchString(message):
		return sdk.ErrTableExists.Errorf("%s", message)
	case strings.Contains(message, "already exists"):
		return sdk.ErrObjectExists.Errorf("%s", message)
	case strings.Contains(message, "write-write conflict"), strings.Contains(message, "has been altered"):
		return sdk.ErrConflict.Errorf("another write changed the same object: %s", message).Retry()
	case missingSchema.MatchString(message):
		return sdk.ErrBucketNotFound.Errorf("%s", message)
	case missingTable.MatchString(message):
		return sdk.ErrTableNotFound.Errorf("%s", message)
	default:
		return sdk.ErrSQL.Errorf("%s", message)
	}
}

func constraintError(message string) error {
	if m := notNull.FindStringSubmatch(message); m != nil {
		return sdk.ErrConstraint.Errorf("Required field %s cannot be null", m[1]).With("column", m[1])
	}
	return sdk.ErrConstraint.Errorf("%s", message)
}

var (
	csvLine    = regexp.MustCompile(`CSV Error on Line: (\d+)`)
	csvConvert = regexp.MustCompile(`(?s)Error when converting column "(.*?)"\. Could not convert string "(.*?)" to '(.*?)'`)
	csvColumns = regexp.MustCompile(`Expected Number of Columns: (\d+) Found: (\d+)`)
)

// csvError names row, column and value of the first bad line. DuckDB counts
// records, not physical lines: a quoted line break does not count (measured).
func csvError(msg string) error {
	row := "?"
	if m := csvLine.FindStringSubmatch(msg); m != nil {
		row = m[1]
	}
	if m := csvConvert.FindStringSubmatch(msg); m != nil {
		return sdk.ErrCSV.Errorf("row %s, column %q: value %q is not a valid %s", row, m[1], m[2], m[3]).
			With("row", row).With("column", m[1]).With("value", m[2])
	}
	if m := csvColumns.FindStringSubmatch(msg); m != nil {
		return sdk.ErrCSV.Errorf("row %s has %s values where %s columns are expected", row, m[2], m[1]).With("row", row)
	}
	reason := "cannot be read"
	switch {
	case strings.Contains(msg, "unterminated quote"):
		reason = "opens a quote that is never closed"
	case strings.Contains(msg, "Invalid unicode"):
		reason = "is not valid UTF-8"
	case strings.Contains(msg, "Maximum line size"):
		reason = "is longer than a row may be"
	}
	return sdk.ErrCSV.Errorf("row %s %s", row, reason).With("row", row)
}
