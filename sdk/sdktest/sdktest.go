// Package sdktest tests a plugin, at three levels: without the service, in the
// service with the plugin in the process of the test, and with its binary.
//
// The first level needs no DuckDB, no process and no network. Start with [New]. Say
// what the host will answer to the callbacks of the handler, [Invoke] the command,
// and compare what happened with a file:
//
//	func TestDrop(t *testing.T) {
//		h := sdktest.New(t, tables.Plugin("1.0.0"))
//		h.OnQuery("FROM duckdb_views()") // no rows
//		x := sdktest.Invoke(h, api.Drop, api.DropRequest{Schema: "in.c-main", Table: "orders"})
//		sdktest.Golden(t, "drop", x)
//	}
//
// [Before] asks a hook, [Notify] delivers an event, [Host.Configure] gives the plugin
// its settings. example_test.go of this package is a whole plugin with its tests.
//
// The text of an [Exchange] is stable and made to be read as a diff: the input,
// each callback with its SQL and values, then the plan. `go test -update` writes
// testdata/drop.golden; read it before you commit it.
//
// The host of this level does what the real one does before and around a
// handler: it checks the input against the declared JSON Schema, refuses
// callbacks after the handler has returned or its context has ended, and limits
// a Query to 1000 rows and 1 MiB. A test also fails when a callback comes that
// it did not foresee, when one that it foresaw does not come, when a command
// that is declared a read writes, when the plugin does what it has not declared that
// it needs, and when a JSON answer or an event breaks its schema. That the SQL runs
// only DuckDB can say.
//
// The second level is [Serve], the third [Run]: the real service, which is built from
// the module that the plugin requires, on a free port and in a folder of its own.
//
//	s := sdktest.Run(t, sdktest.Build(t, "."), sdktest.Options{})
//	s.SQL("CREATE SCHEMA in_c")
//	err := s.Do("GET", "/x/sample/in_c/orders", nil, &out)
//
// [Conform] and [ConformBinary] check what every plugin owes the host. Each plugin
// should have both among its tests.
package sdktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Host stands in for the service. Make it with New; its fields may be changed
// before each Invoke. It runs one command at a time.
type Host struct {
	Context context.Context // of the request; default t.Context
	Project string          // default "demo"
	Branch  string          // default "default"
	Subject string          // name of the key that asks; default "project:demo"
	Admin   bool            // the admin key asks
	Level   sdk.Level       // of a project's key; default sdk.LevelAdmin
	Bound   string          // the one branch that the key opens; default every one
	RunID   string          // of the job run at Keboola
	Accept  string          // media type of the answer; default application/json

	t        testing.TB
	plugin   *sdk.Plugin
	commands map[string]*pluginv1.Command

	mu          sync.Mutex
	answers     []answer
	running     *Exchange    // nil between calls
	transaction *transaction // that is open, or nil
	calls       int
}

// New makes a host for the plugin. When the test ends it fails for every answer
// that no callback asked for.
func New(t testing.TB, p *sdk.Plugin) *Host {
	h := &Host{
		Context: t.Context(), Project: "demo", Branch: "default", Subject: "project:demo", Level: sdk.LevelAdmin, Accept: "application/json",
		t: t, plugin: p, commands: map[string]*pluginv1.Command{},
	}
	for _, c := range p.Describe().GetCommands() {
		h.commands[c.GetName()] = c
	}
	t.Cleanup(func() {
		for _, a := range h.answers {
			t.Errorf("sdktest: no callback came for the answer to %s", a)
		}
	})
	return h
}

// Exchange is one command from its input to its plan.
type Exchange struct {
	Command   string
	Input     json.RawMessage
	Callbacks []Callback               // in the order in which they came
	Result    *pluginv1.InvokeResponse // nil for a hook or event that went well

	writes bool // may write
}

// Invoke runs a command with a typed input.
func Invoke[Request, Response any](h *Host, cmd sdk.Command[Request, Response], in Request) *Exchange {
	h.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		h.t.Fatalf("sdktest: the input of %s: %v", cmd.Name, err)
	}
	return h.InvokeJSON(cmd.Name, string(raw))
}

// InvokeJSON runs a command with an input as a client sends it: one object with
// the members of path, query and body. What breaks the schema is answered with
// ErrMalformed and does not reach the handler.
func (h *Host) InvokeJSON(command, input string) *Exchange {
	h.t.Helper()
	c, ok := h.commands[command]
	if !ok {
		h.t.Fatalf("sdktest: the plugin has no command %s", command)
	}
	x := &Exchange{Command: command, Input: json.RawMessage(input), writes: c.GetEffect() == pluginv1.Effect_EFFECT_WRITE}
	if err := check(c.GetInputSchema(), x.Input); err != nil {
		x.Result = &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Error{Error: sdk.ErrMalformed.Errorf("%v", err).Proto()}}
		return x
	}
	ctx, end := context.WithCancel(h.Context)
	x.Result = h.plugin.Invoke(ctx, callbacks{h}, h.request(command, x.Input, h.begin(x)))
	h.end()
	end()
	h.demand("the plan of "+command+" is refused by the host", permissionOfPlan(x.Result)...)
	h.checkEvents(x.Result.GetUnit().GetEvents())
	if body := x.Result.GetJson(); body != nil && c.GetOutputSchema() != nil {
		if err := check(c.GetOutputSchema(), body); err != nil {
			h.t.Errorf("sdktest: the answer of %s breaks its schema: %v", command, err)
		}
	}
	return x
}

// requestID is that of every request.
const requestID = "test"

func (h *Host) request(command string, input json.RawMessage, token string) *pluginv1.InvokeRequest {
	principal := &pluginv1.Principal{Subject: h.Subject, Admin: h.Admin}
	if !h.Admin {
		principal.Project, principal.Permissions, principal.Branch = h.Project, h.Level.Names(), h.Bound
	}
	return &pluginv1.InvokeRequest{
		Command: command, Payload: input, CallToken: token, RequestId: requestID, RunId: h.RunID, Accept: h.Accept,
		Target: h.target(), Principal: principal,
	}
}

func (h *Host) target() *pluginv1.Target {
	return &pluginv1.Target{Project: h.Project, Branch: h.Branch}
}

func (h *Host) begin(x *Exchange) (token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.running = x
	return h.token()
}

func (h *Host) token() string { return fmt.Sprintf("call-%d", h.calls) }

func (h *Host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running = nil
}

// Err is the error that the handler answered with, an *sdk.Error, or nil.
func (x *Exchange) Err() error { return sdk.ErrorFromProto(x.Result.GetError()) }

// Answer decodes the JSON answer of a command. It fails the test if there is
// none.
func Answer[Response any](t testing.TB, x *Exchange) Response {
	t.Helper()
	var out Response
	if err := json.Unmarshal(x.Result.GetJson(), &out); err != nil {
		t.Fatalf("sdktest: %s has no JSON answer: %v\n%s", x.Command, err, x)
	}
	return out
}

// check validates a document; its error lists every leaf, sorted.
func check(schema, doc []byte) error {
	compiled, err := compile(schema)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	err = compiled.Validate(value)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	faults := leaves(invalid)
	slices.Sort(faults)
	return errors.New(strings.Join(faults, "; "))
}

func compile(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("schema.json")
}

var english = message.NewPrinter(language.English)

func leaves(e *jsonschema.ValidationError) []string {
	if len(e.Causes) == 0 {
		return []string{"/" + strings.Join(e.InstanceLocation, "/") + ": " + e.ErrorKind.LocalizedString(english)}
	}
	var out []string
	for _, cause := range e.Causes {
		out = append(out, leaves(cause)...)
	}
	return out
}
