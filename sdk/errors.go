package sdk

import (
	"fmt"
	"maps"
)

// Kind says what sort of failure an error is. It decides the HTTP status and
// whether a repeat may help.
type Kind int32

// The kinds, with the HTTP status that each becomes.
const (
	Malformed       Kind = iota + 1 // 400: the input does not have the declared shape
	Invalid                         // 422: the input has the shape but cannot be accepted
	Unauthenticated                 // 401
	Denied                          // 403
	NotFound                        // 404
	Exists                          // 409: the name is taken
	Conflict                        // 409: the state does not allow it
	TooLarge                        // 413
	Exhausted                       // 429, retryable
	Unsupported                     // 501
	BadGateway                      // 502: a plugin died or broke the contract
	Unavailable                     // 503, retryable
	Timeout                         // 504, retryable
	Internal                        // 500
)

func (k Kind) retryable() bool { return k == Exhausted || k == Unavailable || k == Timeout }

// Code is one type of problem. Declare it once as a variable and make errors
// from it; callers branch with errors.Is(err, thatVariable).
type Code struct {
	Slug  string // unique, for example "table-not-found"
	Title string // for humans, the same for every occurrence
	Kind  Kind
	// Driver is Keboola's numeric code: 1000 timeout, 2000 to 2008 not found,
	// exists or denied, 3000 validation, 4000 to 4203 import, 6000 to 6004 SQL.
	Driver uint32
}

// Error makes Code usable as the target of errors.Is.
func (c Code) Error() string { return c.Title }

// Errorf makes an error of this type. The message names the value that is
// wrong and what would be right.
func (c Code) Errorf(format string, args ...any) *Error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, args...), Retryable: c.Kind.retryable()}
}

// Error is the one error type that crosses RPC and HTTP.
type Error struct {
	Code
	Detail    string            // this occurrence, for humans
	Pointer   string            // JSON pointer into the input, or empty
	Meta      map[string]string // facts for programs: names, row, column, value
	Retryable bool              // the same request may succeed later
}

func (e *Error) Error() string { return e.Detail }

// Is reports whether target is this error's Code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c.Slug == e.Slug
}

// At names the member of the input that is wrong, as a JSON pointer.
func (e *Error) At(pointer string) *Error {
	out := *e
	out.Pointer = pointer
	return &out
}

// With adds a fact for programs.
func (e *Error) With(key, value string) *Error {
	out := *e
	out.Meta = maps.Clone(e.Meta)
	if out.Meta == nil {
		out.Meta = map[string]string{}
	}
	out.Meta[key] = value
	return &out
}

// Retry marks the error as one that a repeat of the request may get past.
func (e *Error) Retry() *Error {
	out := *e
	out.Retryable = true
	return &out
}

// Problem types that every area shares. The driver codes are Keboola's.
var (
	ErrMalformed       = Code{"malformed-request", "Malformed request", Malformed, 3000}
	ErrInvalid         = Code{"invalid-request", "Invalid request", Invalid, 3000}
	ErrUnauthenticated = Code{"unauthenticated", "Unauthenticated", Unauthenticated, 1002}
	ErrDenied          = Code{"permission-denied", "Permission denied", Denied, 2007}
	ErrReservedName    = Code{"reserved-name", "Reserved name", Invalid, 3000}

	ErrNotFound        = Code{"not-found", "Not found", NotFound, 2000}
	ErrProjectNotFound = Code{"project-not-found", "Project not found", NotFound, 2002}
	ErrBranchNotFound  = Code{"branch-not-found", "Branch not found", NotFound, 2000}
	ErrBucketNotFound  = Code{"bucket-not-found", "Bucket not found", NotFound, 2003}
	ErrTableNotFound   = Code{"table-not-found", "Table not found", NotFound, 2004}
	ErrColumnNotFound  = Code{"column-not-found", "Column not found", NotFound, 2005}
	ErrFileNotFound    = Code{"file-not-found", "File not found", NotFound, 2000}

	ErrProjectExists = Code{"project-exists", "Project already exists", Exists, 2006}
	ErrBucketExists  = Code{"bucket-exists", "Bucket already exists", Exists, 2006}
	ErrTableExists   = Code{"table-exists", "Table already exists", Exists, 2006}
	ErrObjectExists  = Code{"object-exists", "Object already exists", Exists, 2006}
	ErrConflict      = Code{"conflict", "Conflict", Conflict, 3000}

	ErrSQL         = Code{"sql-error", "SQL error", Invalid, 6001}
	ErrConstraint  = Code{"constraint-violation", "Constraint violation", Invalid, 3000}
	ErrCSV         = Code{"invalid-csv", "Invalid CSV", Invalid, 3000}
	ErrTooLarge    = Code{"too-large", "Too large", TooLarge, 3000}
	ErrQueueFull   = Code{"queue-full", "Write queue full", Exhausted, 2006}
	ErrQueueWait   = Code{"queue-timeout", "Waited too long in the write queue", Unavailable, 1000}
	ErrJobsFull    = Code{"jobs-full", "Too many jobs", Exhausted, 2006}
	ErrTimeout     = Code{"timeout", "Timeout", Timeout, 1000}
	ErrCancelled   = Code{"cancelled", "Cancelled", Timeout, 1000}
	ErrDiskFull    = Code{"disk-full", "Disk full", Unavailable, 2006}
	ErrOutOfMemory = Code{"out-of-memory", "Out of memory", Unavailable, 2006}
	ErrUnavailable = Code{"unavailable", "Unavailable", Unavailable, 1001}
	ErrUnsupported = Code{"unsupported", "Not supported", Unsupported, 900}
	ErrPluginDown  = Code{"plugin-unavailable", "Plugin unavailable", Unavailable, 1001}
	ErrPluginDied  = Code{"plugin-died", "Plugin died during the call", BadGateway, 1001}
	ErrPluginOff   = Code{"plugin-disabled", "Plugin disabled", Unsupported, 900}
	ErrInternal    = Code{"internal-error", "Internal error", Internal, 0}
)

// Codes lists the problem types above.
func Codes() []Code {
	return []Code{
		ErrMalformed, ErrInvalid, ErrUnauthenticated, ErrDenied, ErrReservedName, ErrNotFound, ErrProjectNotFound,
		ErrBranchNotFound, ErrBucketNotFound, ErrTableNotFound, ErrColumnNotFound, ErrFileNotFound, ErrProjectExists,
		ErrBucketExists, ErrTableExists, ErrObjectExists, ErrConflict, ErrSQL, ErrConstraint, ErrCSV, ErrTooLarge,
		ErrQueueFull, ErrQueueWait, ErrJobsFull, ErrTimeout, ErrCancelled, ErrDiskFull, ErrOutOfMemory,
		ErrUnavailable, ErrUnsupported, ErrPluginDown, ErrPluginDied, ErrPluginOff, ErrInternal,
	}
}
