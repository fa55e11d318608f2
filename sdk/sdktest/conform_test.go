package sdktest_test

import (
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

type named struct {
	Bucket sdk.Name `json:"bucket" in:"path"`
}

// add declares a command that is right but for what a test changes.
func add(p *sdk.Plugin, name, summary string, options ...sdk.Option) {
	sdk.Handle(p, sdk.Command[named, sdk.None]{Name: name, Summary: summary}, func(*sdk.Context, named) (sdk.None, error) { return sdk.None{}, nil }, options...)
}

func unit(p *sdk.Plugin, options ...sdk.Option) {
	sdk.Handle(p, sdk.Command[named, sdk.None]{Name: "probe.Run", Summary: "Run."}, func(*sdk.Context, named) (sdk.Unit, error) { return sdk.Unit{}, nil }, options...)
}

func TestConformFindsFaults(t *testing.T) {
	t.Parallel()
	read, write := sdk.Permission("probe:read"), sdk.Permission("probe:write")
	route := sdk.GET(sdk.Catalog + "/x/probe/{bucket}")
	versions := 0
	for name, tt := range map[string]struct {
		plugin func() *sdk.Plugin
		want   string // empty for a plugin that conforms
	}{
		"right":      {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.Run", "Run.", read, route); return p }, ""},
		"no route":   {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.Run", "Run.", read); return p }, ""},
		"writes":     {func() *sdk.Plugin { p := sdk.New("probe", "1"); unit(p, write, sdk.Writes()); return p }, ""},
		"no command": {func() *sdk.Plugin { return sdk.New("probe", "1") }, "has no commands"},
		"no version": {func() *sdk.Plugin { p := sdk.New("probe", ""); add(p, "probe.Run", "Run.", read); return p }, "has no version"},
		"plugin name": {func() *sdk.Plugin { p := sdk.New("Probe", "1"); add(p, "Probe.Run", "Run.", read); return p },
			`plugin name "Probe" is not made of`},
		"area of another": {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "tables.Run", "Run.", read); return p }, "the name is not probe.Operation"},
		"lower case":      {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.run", "Run.", read); return p }, "the name is not probe.Operation"},
		"no summary":      {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.Run", "", read); return p }, "has no summary"},
		"no permission":   {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.Run", "Run."); return p }, `permission "" is neither`},
		"wrong permission": {func() *sdk.Plugin {
			p := sdk.New("probe", "1")
			add(p, "probe.Run", "Run.", sdk.Permission("all"))
			return p
		}, `permission "all"`},
		"silent write": {func() *sdk.Plugin { p := sdk.New("probe", "1"); unit(p, write); return p }, "its plan writes"},
		"write by GET": {func() *sdk.Plugin { p := sdk.New("probe", "1"); unit(p, write, sdk.Writes(), route); return p }, "{bucket} writes"},
		"DELETE of a read": {func() *sdk.Plugin {
			p := sdk.New("probe", "1")
			add(p, "probe.Run", "Run.", read, sdk.DELETE("/x/{bucket}"))
			return p
		}, "DELETE /x/{bucket} is not declared with sdk.Writes"},
		"parameter without a place": {func() *sdk.Plugin {
			p := sdk.New("probe", "1")
			add(p, "probe.Run", "Run.", read, sdk.GET("/x"))
			return p
		}, "GET /x has no {bucket}"},
		"place without a parameter": {func() *sdk.Plugin {
			p := sdk.New("probe", "1")
			add(p, "probe.Run", "Run.", read, sdk.GET("/x/{bucket}/{table}"))
			return p
		}, "no member of the input is {table}"},
		"changes": {func() *sdk.Plugin {
			versions++
			p := sdk.New("probe", strings.Repeat("1", versions))
			add(p, "probe.Run", "Run.", read)
			return p
		}, "describes itself differently"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failing(t, func(t testing.TB) { sdktest.Conform(t, tt.plugin) })
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("reported %q, want %q", got, tt.want)
			}
		})
	}
}
