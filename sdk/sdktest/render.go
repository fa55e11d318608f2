package sdktest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files of this package")

// Golden compares a text with testdata/<name>.golden. Several exchanges may share
// a file. With -update it writes the file.
func Golden(t testing.TB, name string, parts ...fmt.Stringer) {
	t.Helper()
	var text strings.Builder
	for i, p := range parts {
		if i > 0 {
			text.WriteString("\n")
		}
		text.WriteString(p.String())
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text.String(), "\n")); diff != "" {
		t.Errorf("%s (-want +got; go test -update rewrites it):\n%s", path, diff)
	}
}

// String is the exchange as text: the command with its input, each callback with
// its answer, the result. A line that starts with ? holds the bound values.
func (x *Exchange) String() string {
	var p printer
	p.line(0, "%s %s", x.Command, compact(x.Input))
	for _, c := range x.Callbacks {
		p.callback(c)
	}
	p.result(x.Result)
	return p.String()
}

type printer struct{ strings.Builder }

func (p *printer) line(depth int, format string, args ...any) {
	p.WriteString(strings.Repeat("    ", depth) + strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (p *printer) callback(c Callback) {
	if r, ok := c.Request.(*pluginv1.TransactRequest); ok {
		p.transact(r, c.Response.(*pluginv1.TransactResponse))
		return
	}
	p.line(0, "\n-> %s", c.Name)
	switch r := c.Request.(type) {
	case *pluginv1.QueryRequest:
		p.statement(1, r.GetStatement())
	case *pluginv1.WriteRequest:
		p.unit(r.GetUnit())
	case *pluginv1.CallRequest:
		p.line(1, "%s %s", r.GetCommand(), compact(r.GetPayload()))
	case *pluginv1.StartJobRequest:
		p.line(1, "%s %s", r.GetCommand(), compact(r.GetPayload()))
	case *pluginv1.ProgressRequest:
		p.line(1, "%v %s", r.GetFraction(), r.GetMessage())
	case *pluginv1.CreateFileRequest:
		p.spec(r.GetSpec())
	case *pluginv1.GetFileRequest:
		p.line(1, "%s", r.GetFileId())
	case *pluginv1.RegisterFileRequest:
		p.line(1, "%s%s", r.GetFileId(), r.GetStagingPath())
		p.spec(r.GetSpec())
	case *pluginv1.DeleteFileRequest:
		p.line(1, "%s", r.GetFileId())
	}
	if p.failed(c.Response) {
		return
	}
	switch r := c.Response.(type) {
	case *pluginv1.QueryResponse:
		p.line(0, "<- %s", compact(r.GetRows()))
	case *pluginv1.WriteResponse:
		p.line(0, "<- %s rows changed: %v", compact(r.GetAnswer()), r.GetRowsAffected())
	case *pluginv1.CallResponse:
		p.line(0, "<- %s", compact(r.GetJson()))
	case *pluginv1.StartJobResponse:
		p.line(0, "<- job %s", r.GetJobId())
	case interface{ GetFile() *pluginv1.File }:
		p.line(0, "<- file %s, %s", r.GetFile().GetId(), r.GetFile().GetState())
	default:
		p.line(0, "<- done")
	}
}

// failed prints the error of an answer that is one.
func (p *printer) failed(response any) bool {
	e, ok := response.(interface{ GetError() *pluginv1.Error })
	if !ok || e.GetError() == nil {
		return false
	}
	p.line(0, "<- error")
	p.failure(1, e.GetError())
	return true
}

// transact prints one step of a transaction.
func (p *printer) transact(r *pluginv1.TransactRequest, resp *pluginv1.TransactResponse) {
	switch op := r.GetOperation().(type) {
	case *pluginv1.TransactRequest_Execute:
		p.line(0, "\n-> Transact: do")
		p.statement(1, op.Execute)
	case *pluginv1.TransactRequest_Query:
		p.line(0, "\n-> Transact: query")
		p.statement(1, op.Query)
	case *pluginv1.TransactRequest_Commit:
		p.line(0, "\n-> Transact: commit")
		p.events(op.Commit.GetEvents())
	default:
		p.line(0, "\n-> Transact: roll back")
	}
	switch {
	case p.failed(resp):
	case r.GetExecute() != nil:
		p.line(0, "<- rows changed: %d", resp.GetRowsAffected())
	case r.GetQuery() != nil:
		p.line(0, "<- %s", compact(resp.GetRows()))
	default:
		p.line(0, "<- done")
	}
}

func (p *printer) events(events []*pluginv1.Emission) {
	for _, e := range events {
		p.line(1, "event %s %s", e.GetEvent(), compact(e.GetPayload()))
	}
}

func (p *printer) result(resp *pluginv1.InvokeResponse) {
	switch r := resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Json:
		p.line(0, "\n= JSON")
		var out bytes.Buffer
		if json.Indent(&out, r.Json, "    ", "  ") != nil {
			out = *bytes.NewBuffer(r.Json)
		}
		p.line(1, "%s", out.String())
	case *pluginv1.InvokeResponse_Rows:
		p.line(0, "\n= Rows")
		p.statement(1, r.Rows.GetStatement())
		p.facts(1, "most rows", r.Rows.GetMaxRows(), "typed columns", r.Rows.GetTypedColumns(), "errors are answers",
			r.Rows.GetErrorsAreAnswers(), "timeout in seconds", r.Rows.GetTimeoutSeconds(), "head", strings.TrimPrefix(string(r.Rows.GetHead()), "null"))
	case *pluginv1.InvokeResponse_Unit:
		p.line(0, "\n= Unit")
		p.unit(r.Unit)
	case *pluginv1.InvokeResponse_File:
		p.line(0, "\n= File %s", r.File.GetFileId())
	case *pluginv1.InvokeResponse_Upload:
		p.line(0, "\n= Upload %s", r.Upload.GetFileId())
	case *pluginv1.InvokeResponse_Export:
		p.line(0, "\n= Export %s", r.Export.GetFormat())
		p.statement(1, r.Export.GetStatement())
		p.facts(1, "compression", r.Export.GetCompression())
		p.spec(r.Export.GetFile())
	case *pluginv1.InvokeResponse_Job:
		p.line(0, "\n= Job %s", r.Job.GetJobId())
	case *pluginv1.InvokeResponse_Error:
		p.line(0, "\n= Error")
		p.failure(1, r.Error)
	default:
		p.line(0, "\n= Done")
	}
}

func (p *printer) unit(u *pluginv1.Unit) {
	p.facts(1, "lock", u.GetLock(), "unordered", u.GetUnordered())
	for i, s := range u.GetStage() {
		p.line(1, "stage %d", i)
		p.statement(2, s)
	}
	for _, r := range u.GetRequire() {
		p.line(1, "%s", map[bool]string{true: "expect", false: "refuse"}[r.GetRowsExpected()])
		p.statement(2, r.GetStatement())
		p.line(1, "otherwise")
		p.failure(2, r.GetOtherwise())
	}
	for i, s := range u.GetStatements() {
		p.line(1, "do %d", i+len(u.GetStage()))
		p.statement(2, s)
	}
	if u.GetAnswer() != nil {
		p.line(1, "answer")
		p.statement(2, u.GetAnswer())
	}
	p.events(u.GetEvents())
}

// statement prints SQL line by line, without the indentation of the source.
func (p *printer) statement(depth int, s *pluginv1.Statement) {
	for line := range strings.Lines(strings.TrimSpace(s.GetSql())) {
		p.line(depth, "%s", visible(strings.TrimRight(strings.TrimLeft(line, "\t"), "\n")))
	}
	var values []string
	for _, a := range s.GetArgs() {
		values = append(values, value(a))
	}
	if values != nil {
		p.line(depth, "? %s", strings.Join(values, ", "))
	}
}

// visible escapes what an editor does not show.
func visible(s string) string {
	var out strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return out.String()
}

func value(v *pluginv1.Value) string {
	switch k := v.GetKind().(type) {
	case *pluginv1.Value_Boolean:
		return strconv.FormatBool(k.Boolean)
	case *pluginv1.Value_Integer:
		return strconv.FormatInt(k.Integer, 10)
	case *pluginv1.Value_Number:
		return fmt.Sprintf("%#v", k.Number) // 1.0 is not 1
	case *pluginv1.Value_Text:
		return strconv.Quote(k.Text)
	case *pluginv1.Value_Blob:
		return fmt.Sprintf("x'%x'", k.Blob)
	case *pluginv1.Value_RowsAffected:
		return fmt.Sprintf("rows of %d", k.RowsAffected)
	case *pluginv1.Value_Elapsed:
		return fmt.Sprintf("seconds of %d", k.Elapsed)
	}
	return "NULL"
}

func (p *printer) spec(f *pluginv1.FileSpec) {
	p.facts(1, "name", f.GetName(), "type", f.GetContentType(), "tags", strings.Join(f.GetTags(), ", "), "permanent", f.GetPermanent(),
		"days to keep", f.GetMaxAgeDays(), "bytes", f.GetSizeBytes())
}

// failure prints an error. The HTTP status follows from its kind.
func (p *printer) failure(depth int, e *pluginv1.Error) {
	p.line(depth, "%s (%s, code %d)", e.GetCode(), strings.TrimPrefix(e.GetKind().String(), "KIND_"), e.GetDriverCode())
	p.line(depth, "%s", e.GetDetail())
	facts := []any{"at", e.GetPointer(), "retryable", e.GetRetryable()}
	for _, key := range slices.Sorted(maps.Keys(e.GetMeta())) {
		facts = append(facts, key, e.GetMeta()[key])
	}
	p.facts(depth, facts...)
}

// facts prints pairs of name and value, but for zero values.
func (p *printer) facts(depth int, pairs ...any) {
	for i := 0; i < len(pairs); i += 2 {
		if text := fmt.Sprint(pairs[i+1]); text != "" && text != "0" && text != "false" {
			p.line(depth, "%s: %s", pairs[i], text)
		}
	}
}

// compact is JSON on one line; what is no JSON stays as it is.
func compact(raw []byte) string {
	var out bytes.Buffer
	if len(raw) == 0 || json.Compact(&out, raw) != nil {
		return string(raw)
	}
	return out.String()
}

var _ sdk.Host = callbacks{}
