package sdk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

type request struct {
	Bucket sdk.Name `json:"bucket" in:"path"`
	Limit  int      `json:"limit,omitempty" in:"query"`
	Text   string   `json:"text,omitempty"`
}

type response struct {
	Text string `json:"text"`
}

// handle declares a command whose handler does nothing.
func handle[Request, Response, Result any](name string, options ...sdk.Option) *sdk.Plugin {
	p := sdk.New("probe", "1.0.0")
	cmd := sdk.Command[Request, Response]{Name: name, Summary: "Run."}
	sdk.Handle(p, cmd, func(*sdk.Context, Request) (r Result, err error) { return r, nil }, options...)
	return p
}

// A wrong declaration panics where it is made, and names the command.
func TestWrongDeclarations(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		declare func()
		want    string
	}{
		"no plan": {func() { handle[request, response, int]("probe.Run") }, "handler of probe.Run returns int"},
		"pointer to a plan": {func() { handle[request, response, *sdk.Unit]("probe.Run") },
			"handler of probe.Run returns *sdk.Unit, which is neither a plan nor sdk_test.response"},
		"request is no struct":      {func() { handle[string, response, response]("probe.Run") }, "command probe.Run: request: string is not a struct"},
		"request without a schema":  {func() { handle[struct{ F func() }, response, response]("probe.Run") }, "command probe.Run: request:"},
		"response without a schema": {func() { handle[request, chan int, chan int]("probe.Run") }, "command probe.Run: response:"},
		"wrong place": {func() {
			handle[struct {
				ID string `json:"id" in:"header"`
			}, response, response]("probe.Run")
		}, `field ID: in:"header" is neither "path" nor "query"`},
		"parameter without a name": {func() {
			handle[struct {
				ID string `in:"query"`
			}, response, response]("probe.Run")
		}, "field ID: an in tag needs a json tag"},
		"route without a slash": {func() { sdk.GET("x") }, "route GET x must start with /"},
		"empty route":           {func() { sdk.PUT("") }, "route PUT  must start with /"},
		"declared twice": {func() {
			p := handle[request, response, response]("probe.Run")
			sdk.Handle(p, sdk.Command[request, response]{Name: "probe.Run"}, func(*sdk.Context, request) (r response, err error) { return r, nil })
		}, "command probe.Run is declared twice"},
		"hook without time":          {func() { sdk.Within(0) }, "the time of a hook must be above zero, not 0s"},
		"hook with a time before it": {func() { sdk.Within(-time.Second) }, "the time of a hook must be above zero, not -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, tt.want) {
					t.Errorf("the panic is %q, want %q", got, tt.want)
				}
			}()
			tt.declare()
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	p := handle[request, response, sdk.Unit]("probe.Run", sdk.Permission("probe:write"), sdk.Writes(),
		sdk.POST(sdk.Catalog+"/x", sdk.Status(201)), sdk.PUT("/x/{bucket}"))
	d := p.Describe()
	want := &pluginv1.DescribeResponse{Name: "probe", Version: "1.0.0", SdkVersion: sdk.Version, Commands: []*pluginv1.Command{{
		Name: "probe.Run", Summary: "Run.", Permission: "probe:write",
		Effect: pluginv1.Effect_EFFECT_WRITE, Form: pluginv1.Form_FORM_UNIT,
		Routes: []*pluginv1.Route{{Method: "POST", Path: "{catalog}/x", Status: 201}, {Method: "PUT", Path: "/x/{bucket}", Status: 200}},
		Parameters: []*pluginv1.Parameter{
			{Name: "bucket", Location: pluginv1.Location_LOCATION_PATH}, {Name: "limit", Location: pluginv1.Location_LOCATION_QUERY},
		},
	}}}
	opts := cmp.Options{protocmp.Transform(), protocmp.IgnoreFields(&pluginv1.Command{}, "input_schema", "output_schema")}
	if diff := cmp.Diff(want, d, opts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Without a permission a command has that of its area.
func TestPermissionByDefault(t *testing.T) {
	t.Parallel()
	read := handle[request, response, response]("probe.Look").Describe().GetCommands()[0]
	write := handle[request, response, sdk.Unit]("probe.Run", sdk.Writes()).Describe().GetCommands()[0]
	if read.GetPermission() != "probe:read" || write.GetPermission() != "probe:write" {
		t.Errorf("%q and %q", read.GetPermission(), write.GetPermission())
	}
}

// The type that the handler returns picks the form; without an answer the status
// of success is 204.
func TestForms(t *testing.T) {
	t.Parallel()
	get := sdk.GET("/x")
	for form, p := range map[pluginv1.Form]*sdk.Plugin{
		pluginv1.Form_FORM_JSON:   handle[request, response, response]("probe.Run", get),
		pluginv1.Form_FORM_ROWS:   handle[request, response, sdk.Rows]("probe.Run", get),
		pluginv1.Form_FORM_UNIT:   handle[request, response, sdk.Unit]("probe.Run", get),
		pluginv1.Form_FORM_FILE:   handle[request, response, sdk.File]("probe.Run", get),
		pluginv1.Form_FORM_UPLOAD: handle[request, response, sdk.Upload]("probe.Run", get),
		pluginv1.Form_FORM_EXPORT: handle[request, response, sdk.Export]("probe.Run", get),
		pluginv1.Form_FORM_PLAN:   handle[request, response, sdk.Plan]("probe.Run", get),
	} {
		c := p.Describe().GetCommands()[0]
		if c.GetForm() != form || c.GetRoutes()[0].GetStatus() != 200 || c.GetEffect() != pluginv1.Effect_EFFECT_READ {
			t.Errorf("%v: %v", form, c)
		}
	}
	none := handle[request, sdk.None, sdk.Unit]("probe.Run", sdk.DELETE("/x")).Describe().GetCommands()[0]
	if none.GetRoutes()[0].GetStatus() != 204 || none.GetOutputSchema() != nil {
		t.Errorf("no answer: %v", none)
	}
	if file := handle[request, sdk.File, sdk.File]("probe.Run").Describe().GetCommands()[0]; file.GetOutputSchema() != nil {
		t.Errorf("a file: %v", file)
	}
}
