package pluginhost

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// ErrNoPlan is a command that cannot show what it would do, because it does a part
// of it before it answers.
var ErrNoPlan = sdk.Code{Slug: "plan-not-available", Title: "No plan available", Kind: sdk.Unsupported, Driver: 900}

// Explanation is what a command would do, as JSON.
type Explanation struct {
	Command    string        `json:"command"`
	Plugin     string        `json:"plugin"`
	Permission string        `json:"permission"`
	Target     *TargetShown  `json:"target,omitempty"`
	Form       string        `json:"form"` // rows, unit, json, file, upload, export or job
	Partial    bool          `json:"partial,omitempty"`
	Hooks      []string      `json:"hooks"` // plugins that would be asked first
	Lock       string        `json:"lock,omitempty"`
	Stage      []Step        `json:"stage,omitempty"`
	Require    []Requirement `json:"require,omitempty"`
	Statements []Step        `json:"statements,omitempty"`
	Answer     *Step         `json:"answer,omitempty"`
	Events     []EventShown  `json:"events,omitempty"`

	// Of rows and export.
	MediaType      string `json:"mediaType,omitempty"`
	MaxRows        uint64 `json:"maxRows,omitempty"`
	TimeoutSeconds uint32 `json:"timeoutSeconds,omitempty"`
	// Of file and upload.
	FileID string `json:"fileId,omitempty"`
	// Of an export into a file.
	File *FileShown `json:"file,omitempty"`
}

// TargetShown is the catalog of a command.
type TargetShown struct {
	Project string `json:"project"`
	Branch  string `json:"branch,omitempty"`
}

// Step is a statement with its arguments. An argument that only an earlier statement
// of the Unit gives is an object: {"rowsAffected": 1} or {"elapsedSeconds": 1}, with
// the number of that statement; bytes are {"base64": "…"}.
type Step struct {
	SQL  string `json:"sql"`
	Args []any  `json:"args"`
}

// Requirement is a precondition with the problem for which it stands.
type Requirement struct {
	Step
	Expects   string  `json:"expects"` // rows or none
	Otherwise Refusal `json:"otherwise"`
}

// Refusal is a problem that would be answered.
type Refusal struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// EventShown is an event that would be emitted.
type EventShown struct {
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload"`
}

// FileShown is a file that would be made.
type FileShown struct {
	Name        string   `json:"name"`
	Format      string   `json:"format"`
	Compression string   `json:"compression,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	Permanent   bool     `json:"permanent,omitempty"`
	MaxAgeDays  uint32   `json:"maxAgeDays,omitempty"`
}

// explaining is kept for an invocation that is only to show its plan, and for the
// commands that it calls. Guarded by Host.mu.
type explaining struct {
	unit    *pluginv1.Unit // of the first Write callback
	refused error          // the first other callback that would have changed something
}

// Explain asks a command for its plan and does nothing of it. The handler runs, and
// may look at the catalog. When it writes with a callback, the plan is what that
// would have written, and partial: what follows depends on its outcome. Any other
// callback that changes something is ErrNoPlan, and so is a command of the host's
// own that answers JSON: it does its work by itself. Hooks on the command are named
// and not asked. Those on a read that the handler calls are asked, and may refuse it:
// else a plan would show what they guard.
//
// Paths of the host are shown as <data>/….
func (h *Host) Explain(ctx context.Context, call Call) (Explanation, error) {
	c, err := h.Table().command(call.Command)
	if err != nil {
		return Explanation{}, err
	}
	if err := h.admit(c, call); err != nil {
		return Explanation{}, err
	}
	if c.owner.core && c.GetForm() == pluginv1.Form_FORM_JSON {
		return Explanation{}, ErrNoPlan.Errorf("%s has no plan to show: the service does it by itself", c.GetName())
	}
	call.explain = &explaining{}
	r, err := h.newRun(c, call, nil)
	if err != nil {
		return Explanation{}, err
	}
	resp, err := h.answer(ctx, c, r)
	if err != nil {
		return Explanation{}, err
	}
	out := Explanation{
		Command: c.GetName(), Plugin: c.Plugin, Permission: c.GetPermission(), Hooks: h.hooksOf(c.GetName()),
	}
	if p := call.Target.GetProject(); p != "" {
		out.Target = &TargetShown{Project: p, Branch: call.Target.GetBranch()}
	}
	s := shower{h.hidden()}
	unit, refused := h.stopped(call.explain)
	switch {
	case refused != nil:
		return Explanation{}, refused
	case unit != nil:
		out.Partial = true
		s.unit(&out, unit)
		return out, nil
	}
	return out, s.plan(&out, resp, call.Accept)
}

// stopped is what the callbacks of an explained command came to.
func (h *Host) stopped(e *explaining) (*pluginv1.Unit, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return e.unit, e.refused
}

// stop keeps a callback from changing something, and notes the first that would
// have. The caller holds Host.mu.
func (e *explaining) stop(step string, u use) error {
	if e == nil || !u.writes && !u.turn && u.callback != "Lease" {
		return nil
	}
	err := ErrNoPlan.Errorf("%s cannot show its plan: it uses the callback %s, which changes something, before it answers", step, u.callback)
	switch {
	case e.unit != nil || e.refused != nil:
	case u.unit != nil:
		e.unit = u.unit
	default:
		e.refused = err
	}
	return err
}

// hidden replaces paths of the host, as they are and as they stand in SQL and JSON.
func (h *Host) hidden() *strings.Replacer {
	var pairs []string
	for shown, dir := range map[string]string{"<data>/": h.cfg.Executor.Layout.Root, "<run>/": h.cfg.Executor.Layout.Runtime} {
		if dir == "" {
			continue
		}
		dir = strings.TrimSuffix(dir, "/") + "/"
		quoted, _ := json.Marshal(dir) // a string always marshals
		for _, as := range []string{dir, strings.ReplaceAll(dir, "'", "''"), string(quoted[1 : len(quoted)-1])} {
			pairs = append(pairs, as, shown)
		}
	}
	return strings.NewReplacer(pairs...)
}

// shower turns plans into what is shown of them.
type shower struct{ *strings.Replacer }

func (s shower) plan(out *Explanation, resp *pluginv1.InvokeResponse, accept string) error {
	switch r := resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Json:
		out.Form = "json"
	case *pluginv1.InvokeResponse_Rows:
		out.Form, out.MediaType = "rows", accept
		out.Statements = []Step{s.step(r.Rows.GetStatement())}
		out.MaxRows, out.TimeoutSeconds = r.Rows.GetMaxRows(), r.Rows.GetTimeoutSeconds()
	case *pluginv1.InvokeResponse_Unit:
		s.unit(out, r.Unit)
	case *pluginv1.InvokeResponse_File:
		out.Form, out.FileID = "file", r.File.GetFileId()
	case *pluginv1.InvokeResponse_Upload:
		out.Form, out.FileID = "upload", r.Upload.GetFileId()
	case *pluginv1.InvokeResponse_Export:
		s.export(out, r.Export, accept)
	case *pluginv1.InvokeResponse_Job:
		out.Form = "job"
	case *pluginv1.InvokeResponse_Error:
		return sdk.ErrorFromProto(r.Error)
	default:
		return sdk.ErrPluginDied.Errorf("the plugin answered with a plan that this host does not know")
	}
	return nil
}

func (s shower) unit(out *Explanation, u *pluginv1.Unit) {
	out.Form, out.Lock = "unit", s.Replace(u.GetLock())
	out.Stage, out.Statements = s.steps(u.GetStage()), s.steps(u.GetStatements())
	for _, p := range u.GetRequire() {
		r := Requirement{Step: s.step(p.GetStatement()), Expects: "none"}
		if p.GetRowsExpected() {
			r.Expects = "rows"
		}
		r.Otherwise = Refusal{Code: p.GetOtherwise().GetCode(), Detail: s.Replace(p.GetOtherwise().GetDetail())}
		out.Require = append(out.Require, r)
	}
	if u.GetAnswer() != nil {
		answer := s.step(u.GetAnswer())
		out.Answer = &answer
	}
	for _, e := range u.GetEvents() {
		out.Events = append(out.Events, EventShown{Name: e.GetEvent(), Payload: json.RawMessage(s.Replace(string(e.GetPayload())))})
	}
}

// export shows the file that would be made, or the read that would be streamed.
func (s shower) export(out *Explanation, e *pluginv1.Export, accept string) {
	out.Form, out.MediaType = "export", accept
	out.Statements = []Step{s.step(e.GetStatement())}
	if accept != "application/json" {
		return
	}
	f := e.GetFile()
	out.File = &FileShown{
		Name: f.GetName(), Format: e.GetFormat(), Compression: e.GetCompression(),
		Tags: f.GetTags(), Permanent: f.GetPermanent(), MaxAgeDays: f.GetMaxAgeDays(),
	}
}

func (s shower) steps(statements []*pluginv1.Statement) []Step {
	var out []Step
	for _, st := range statements {
		out = append(out, s.step(st))
	}
	return out
}

func (s shower) step(st *pluginv1.Statement) Step {
	out := Step{SQL: s.Replace(st.GetSql()), Args: []any{}}
	for _, a := range st.GetArgs() {
		out.Args = append(out.Args, s.value(a))
	}
	return out
}

func (s shower) value(v *pluginv1.Value) any {
	switch v := v.GetKind().(type) {
	case *pluginv1.Value_Boolean:
		return v.Boolean
	case *pluginv1.Value_Integer:
		return v.Integer
	case *pluginv1.Value_Number:
		if math.IsNaN(v.Number) || math.IsInf(v.Number, 0) { // JSON has none of them
			return strconv.FormatFloat(v.Number, 'g', -1, 64)
		}
		return v.Number
	case *pluginv1.Value_Text:
		return s.Replace(v.Text)
	case *pluginv1.Value_Blob:
		return map[string]string{"base64": base64.StdEncoding.EncodeToString(v.Blob)}
	case *pluginv1.Value_RowsAffected:
		return map[string]uint32{"rowsAffected": v.RowsAffected}
	case *pluginv1.Value_Elapsed:
		return map[string]uint32{"elapsedSeconds": v.Elapsed}
	}
	return nil
}
