package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Plan is the answer of a handler that decides in each call which form it
// takes. Most handlers return one form by its own type instead.
type Plan interface{ plan() }

// JSON is a Plan that sends a value.
type JSON struct{ Value any }

func (Rows) plan()   {}
func (Unit) plan()   {}
func (File) plan()   {}
func (Upload) plan() {}
func (Export) plan() {}
func (JSON) plan()   {}

// Rows is a read. The host runs it after the handler has returned and streams
// it as JSON, NDJSON, CSV, Parquet or Arrow, whichever the client accepts; the
// rows never cross the plugin.
type Rows struct {
	Statement sql.Statement
	// MaxRows bounds the answer; 0 is no bound.
	MaxRows uint64
	// Head is a JSON object whose members come before columns and rows in a
	// JSON answer; nil is none.
	Head any
	// TypedColumns writes the columns of a JSON answer as {name, type} in place
	// of bare names.
	TypedColumns bool
	// ErrorsAreAnswers turns an error of the statement into the JSON answer
	// {"status":"error","message":…} with status 200, as Keboola's query command
	// wants it.
	ErrorsAreAnswers bool
	// Timeout interrupts the statement, in whole seconds; 0 is no limit.
	Timeout time.Duration
}

// Unit is one transaction on the catalog's write queue, DDL included. Either
// all of it happens and is durable before the client hears of it, or nothing.
//
// A catalog has one writer at a time. What takes long and needs no turn belongs
// into Stage, which runs beside other writes:
//
//	sdk.Unit{
//		Lock:  "table in.c-main.orders",
//		Stage: []sql.Statement{createNew, fillNew}, // minutes
//		Do:    []sql.Statement{dropOld, renameNew}, // a millisecond, in the turn
//	}
type Unit struct {
	// Lock makes Units of one catalog with the same Lock run one after another,
	// Stage included. Empty is no lock.
	Lock string
	// Stage runs first, in order, outside of the catalog's turn. It may read all
	// and make what only this Unit knows: temporary tables, tables with a name of
	// their own. Other writes commit meanwhile, and the transaction does not see
	// them: Require has to ask for what Do relies on. A Unit that changes what
	// another one changed since Stage began fails with a retryable ErrConflict.
	Stage []sql.Statement
	// Unordered says that rows which Stage and Do copy need not keep the order in which
	// they are read. A large load takes two thirds of the time then (measured).
	Unordered bool
	// Require is checked first in the turn, against what is committed then.
	Require []Precondition
	// Do runs in the turn, in order.
	Do []sql.Statement
	// Answer runs after the commit and before the next write of the catalog has
	// its turn, so it sees what is on disk. Its one row becomes the JSON answer,
	// a member for each column. Without it there is no answer.
	Answer sql.Statement
	// Events are facts that are true once the Unit is committed. They are stored with
	// it for those who subscribe to them; without a subscriber they cost nothing.
	Events []Emission
}

// Precondition guards a Unit. Make it with Expect or Refuse.
type Precondition struct {
	statement    sql.Statement
	rowsExpected bool
	otherwise    *Error
}

// Expect fails the Unit with otherwise unless the statement returns a row.
func Expect(s sql.Statement, otherwise *Error) Precondition {
	return Precondition{statement: s, rowsExpected: true, otherwise: otherwise}
}

// Refuse fails the Unit with otherwise if the statement returns a row.
func Refuse(s sql.Statement, otherwise *Error) Precondition {
	return Precondition{statement: s, otherwise: otherwise}
}

// File sends the bytes of a registered or uploaded file, with ranges and ETag.
type File struct{ ID string }

// Upload receives the body of the request into the prepared file and answers
// with UploadResponse. The bytes are durable when the client hears of it.
type Upload struct{ FileID string }

// UploadResponse is the JSON answer to an Upload.
type UploadResponse struct {
	SizeBytes int64  `json:"sizeBytes"`
	SHA256    string `json:"sha256" jsonschema:"hex"`
}

// Export writes the result of a read into a new registered file and answers
// with ExportResponse. When the client accepts CSV, NDJSON, Parquet or Arrow and
// not JSON, the host streams the result to it as that and makes no file.
type Export struct {
	Statement sql.Statement
	// Format is csv: with a header line, NULL as an empty field, LF.
	Format string
	// Compression of the file is none or gzip; empty is none.
	Compression string
	File        FileSpec
}

// ExportResponse is the JSON answer to an Export.
type ExportResponse struct {
	File      FileInfo `json:"file"`
	RowsCount int64    `json:"rowsCount"`
	SizeBytes int64    `json:"sizeBytes"`
}

// formOf tells the form of the answer from the type a handler returns.
func formOf[Response, Result any](command string) pluginv1.Form {
	switch result := reflect.TypeFor[Result](); result {
	case reflect.TypeFor[Rows]():
		return pluginv1.Form_FORM_ROWS
	case reflect.TypeFor[Unit]():
		return pluginv1.Form_FORM_UNIT
	case reflect.TypeFor[File]():
		return pluginv1.Form_FORM_FILE
	case reflect.TypeFor[Upload]():
		return pluginv1.Form_FORM_UPLOAD
	case reflect.TypeFor[Export]():
		return pluginv1.Form_FORM_EXPORT
	case reflect.TypeFor[Job]():
		return pluginv1.Form_FORM_JOB
	case reflect.TypeFor[Plan]():
		return pluginv1.Form_FORM_PLAN
	case reflect.TypeFor[Response]():
		return pluginv1.Form_FORM_JSON
	default:
		panic(fmt.Sprintf("sdk: handler of %s returns %v, which is neither a plan nor %v", command, result, reflect.TypeFor[Response]()))
	}
}

// encode turns what a handler returned into its result on the wire.
func encode(plan any) (*pluginv1.InvokeResponse, error) {
	switch p := plan.(type) {
	case Rows:
		head, err := json.Marshal(p.Head)
		if err != nil {
			return nil, err
		}
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Rows{Rows: &pluginv1.Rows{
			Statement: statement(p.Statement), MaxRows: p.MaxRows, Head: head,
			TypedColumns: p.TypedColumns, ErrorsAreAnswers: p.ErrorsAreAnswers,
			TimeoutSeconds: wholeSeconds(p.Timeout),
		}}}, nil
	case Unit:
		unit, err := p.proto()
		if err != nil {
			return nil, err
		}
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Unit{Unit: unit}}, nil
	case File:
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_File{File: &pluginv1.FileBody{FileId: p.ID}}}, nil
	case Upload:
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Upload{Upload: &pluginv1.Upload{FileId: p.FileID}}}, nil
	case Export:
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Export{Export: &pluginv1.Export{
			Statement: statement(p.Statement), Format: p.Format, Compression: p.Compression, File: p.File.proto(),
		}}}, nil
	case Job:
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Job{Job: &pluginv1.JobRef{JobId: p.ID}}}, nil
	case JSON:
		return encode(p.Value)
	default:
		body, err := json.Marshal(plan)
		if err != nil {
			return nil, err
		}
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Json{Json: body}}, nil
	}
}

// wholeSeconds rounds up: less than one is not none.
func wholeSeconds(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }

func (u Unit) proto() (*pluginv1.Unit, error) {
	events, err := emissions(u.Events)
	if err != nil {
		return nil, err
	}
	out := &pluginv1.Unit{Lock: u.Lock, Unordered: u.Unordered, Answer: statement(u.Answer), Events: events}
	for _, s := range u.Stage {
		out.Stage = append(out.Stage, statement(s))
	}
	for _, r := range u.Require {
		out.Require = append(out.Require, &pluginv1.Precondition{
			Statement: statement(r.statement), RowsExpected: r.rowsExpected, Otherwise: r.otherwise.Proto(),
		})
	}
	for _, s := range u.Do {
		out.Statements = append(out.Statements, statement(s))
	}
	return out, nil
}

func statement(s sql.Statement) *pluginv1.Statement {
	if s.IsZero() {
		return nil
	}
	out := &pluginv1.Statement{Sql: s.SQL()}
	for _, a := range s.Args() {
		out.Args = append(out.Args, value(a))
	}
	return out
}

func value(a any) *pluginv1.Value {
	switch v := a.(type) {
	case nil:
		return &pluginv1.Value{}
	case bool:
		return &pluginv1.Value{Kind: &pluginv1.Value_Boolean{Boolean: v}}
	case int64:
		return &pluginv1.Value{Kind: &pluginv1.Value_Integer{Integer: v}}
	case float64:
		return &pluginv1.Value{Kind: &pluginv1.Value_Number{Number: v}}
	case string:
		return &pluginv1.Value{Kind: &pluginv1.Value_Text{Text: v}}
	case []byte:
		return &pluginv1.Value{Kind: &pluginv1.Value_Blob{Blob: v}}
	case sql.RowsAffected:
		return &pluginv1.Value{Kind: &pluginv1.Value_RowsAffected{RowsAffected: uint32(v)}}
	case sql.Elapsed:
		return &pluginv1.Value{Kind: &pluginv1.Value_Elapsed{Elapsed: uint32(v)}}
	default:
		panic(fmt.Sprintf("sdk: a statement holds a %T", a))
	}
}

// Proto is the error on the wire; nil stays nil.
func (e *Error) Proto() *pluginv1.Error {
	if e == nil {
		return nil
	}
	return &pluginv1.Error{
		Code: e.Slug, Title: e.Title, Kind: pluginv1.Kind(e.Kind), DriverCode: e.Driver,
		Detail: e.Detail, Pointer: e.Pointer, Meta: e.Meta, Retryable: e.Retryable,
	}
}

// ErrorFromProto is the inverse of Error.Proto; nil becomes a nil error.
func ErrorFromProto(e *pluginv1.Error) error {
	if e == nil {
		return nil
	}
	return &Error{
		Code:   Code{Slug: e.GetCode(), Title: e.GetTitle(), Kind: Kind(e.GetKind()), Driver: e.GetDriverCode()},
		Detail: e.GetDetail(), Pointer: e.GetPointer(), Meta: e.GetMeta(), Retryable: e.GetRetryable(),
	}
}
