package sdktest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
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

// probing is a plugin that is right but for what a test changes.
func probing(change func(*sdk.Plugin)) func() *sdk.Plugin {
	return func() *sdk.Plugin {
		p := sdk.New("probe", "1.0.0")
		add(p, "probe.Run", "Run.", sdk.Permission("probe:read"))
		change(p)
		return p
	}
}

func TestConformFindsFaults(t *testing.T) {
	t.Parallel()
	read, write := sdk.Permission("probe:read"), sdk.Permission("probe:write")
	route := sdk.GET(sdk.Catalog + "/x/probe/{bucket}")
	drop := sdk.Command[named, sdk.None]{Name: "tables.Drop"}
	dropped := sdk.Event[named]{Name: "tables.Dropped", Summary: "Dropped."}
	allow := func(*sdk.Context, named) error { return nil }
	hear := func(*sdk.Context, sdk.Notice[named]) error { return nil }
	versions := 0
	for name, tt := range map[string]struct {
		plugin func() *sdk.Plugin
		want   string // empty for a plugin that conforms
	}{
		"right":      {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); add(p, "probe.Run", "Run.", read, route); return p }, ""},
		"no route":   {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); add(p, "probe.Run", "Run.", read); return p }, ""},
		"writes":     {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); unit(p, write, sdk.Writes()); return p }, ""},
		"no command": {func() *sdk.Plugin { return sdk.New("probe", "1.0.0") }, "has no commands"},
		"no version": {func() *sdk.Plugin { p := sdk.New("probe", ""); add(p, "probe.Run", "Run.", read); return p }, "has no version"},
		"version":    {func() *sdk.Plugin { p := sdk.New("probe", "1"); add(p, "probe.Run", "Run.", read); return p }, `version "1" is not semantic`},
		"plugin name": {func() *sdk.Plugin { p := sdk.New("Probe", "1.0.0"); add(p, "Probe.Run", "Run.", read); return p },
			`plugin name "Probe" is not made of`},
		"area of another": {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); add(p, "tables.Run", "Run.", read); return p }, "the name is not probe.Operation"},
		"lower case":      {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); add(p, "probe.run", "Run.", read); return p }, "the name is not probe.Operation"},
		"no summary":      {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); add(p, "probe.Run", "", read); return p }, "has no summary"},
		"wrong permission": {func() *sdk.Plugin {
			p := sdk.New("probe", "1.0.0")
			add(p, "probe.Run", "Run.", sdk.Permission("all"))
			return p
		}, `permission "all"`},
		"silent write": {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); unit(p, write); return p }, "its plan writes"},
		"write by GET": {func() *sdk.Plugin { p := sdk.New("probe", "1.0.0"); unit(p, write, sdk.Writes(), route); return p }, "{bucket} writes"},
		"DELETE of a read": {func() *sdk.Plugin {
			p := sdk.New("probe", "1.0.0")
			add(p, "probe.Run", "Run.", read, sdk.DELETE("/x/{bucket}"))
			return p
		}, "DELETE /x/{bucket} is not declared with sdk.Writes"},
		"parameter without a place": {func() *sdk.Plugin {
			p := sdk.New("probe", "1.0.0")
			add(p, "probe.Run", "Run.", read, sdk.GET("/x"))
			return p
		}, "GET /x has no {bucket}"},
		"place without a parameter": {func() *sdk.Plugin {
			p := sdk.New("probe", "1.0.0")
			add(p, "probe.Run", "Run.", read, sdk.GET("/x/{bucket}/{table}"))
			return p
		}, "no member of the input is {table}"},
		"changes": {func() *sdk.Plugin {
			versions++
			p := sdk.New("probe", fmt.Sprintf("1.0.%d", versions))
			add(p, "probe.Run", "Run.", read)
			return p
		}, "describes itself differently"},

		"needs and hooks that fit": {probing(func(p *sdk.Plugin) {
			p.Needs("tables:write", "tables:read")
			p.Requires("tables", ">= 1.2, < 2")
			sdk.Before(p, drop, allow)
			sdk.After(p, dropped, hear)
		}), ""},
		"need":          {probing(func(p *sdk.Plugin) { p.Needs("everything") }), `it needs "everything"`},
		"need of its":   {probing(func(p *sdk.Plugin) { p.Needs("probe:read") }), "it needs probe:read, which is its own area"},
		"need twice":    {probing(func(p *sdk.Plugin) { p.Needs(sdk.ReadSQL, sdk.ReadSQL) }), "it needs sql:read twice"},
		"depends on it": {probing(func(p *sdk.Plugin) { p.Requires("probe", "") }), `it depends on "probe"`},
		"versions":      {probing(func(p *sdk.Plugin) { p.WorksWith("tables", ">= one") }), `the versions ">= one" of plugin tables are no constraint`},
		"hook without the permission": {probing(func(p *sdk.Plugin) { sdk.Before(p, drop, allow) }),
			"it hooks on tables.Drop and does not declare that it needs that command's permission"},
		"subscription without the permission": {probing(func(p *sdk.Plugin) { sdk.After(p, dropped, hear) }),
			"it subscribes to tables.Dropped and does not declare that it needs tables:read"},
		"hook on nothing": {probing(func(p *sdk.Plugin) { sdk.Before(p, sdk.Command[named, sdk.None]{Name: "drop"}, allow) }), `it hooks on "drop"`},
		"event of another area": {probing(func(p *sdk.Plugin) { sdk.Emits(p, dropped) }),
			"event tables.Dropped: the name is not probe.Fact"},
		"event without a summary": {probing(func(p *sdk.Plugin) { sdk.Emits(p, sdk.Event[named]{Name: "probe.Ran"}) }), "event probe.Ran: has no summary"},
		"problem twice": {probing(func(p *sdk.Plugin) {
			add(p, "probe.Other", "Other.", read, sdk.Fails(sdk.Code{Slug: "probe-a", Title: "A", Kind: sdk.Invalid}, sdk.Code{Slug: "probe-a", Title: "B", Kind: sdk.Invalid}))
		}), "problem probe-a is declared twice"},
		"default of a setting": {probing(func(p *sdk.Plugin) {
			sdk.Config(p, struct {
				Limit sdk.PageLimit `json:"limit,omitzero"`
			}{Limit: -1})
		}), "the default of limit breaks its schema"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failing(t, func(t testing.TB) { sdktest.Conform(t, tt.plugin) })
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("reported %q, want %q", got, tt.want)
			}
		})
	}
}

// picky is a text whose type refuses what its schema accepts.
type picky string

func (*picky) UnmarshalJSON([]byte) error { return fmt.Errorf("not today") }

// greedy is an object that takes everything.
type greedy struct {
	Text json.RawMessage `json:"text,omitempty"`
}

func (*greedy) UnmarshalJSON([]byte) error { return nil }

// run declares probe.Run with a handler.
func run[Request any](handler func(*sdk.Context, Request) (sdk.None, error)) func() *sdk.Plugin {
	return func() *sdk.Plugin {
		p := sdk.New("probe", "1.0.0")
		sdk.Handle(p, sdk.Command[Request, sdk.None]{Name: "probe.Run", Summary: "Run."}, handler, sdk.Permission("probe:read"))
		return p
	}
}

func TestConformFindsMisbehaviour(t *testing.T) {
	t.Parallel()
	var previous *sdk.Context
	for name, tt := range map[string]struct {
		plugin func() *sdk.Plugin
		want   string
	}{
		"panic": {run(func(_ *sdk.Context, in named) (sdk.None, error) {
			if strings.Contains(string(in.Bucket), `"`) {
				panic("a quote")
			}
			return sdk.None{}, nil
		}), "command probe.Run panics with the input \"{\\\"bucket\\\":\\\"odd"},
		"panic in a hook": {probing(func(p *sdk.Plugin) {
			sdk.Before(p, sdk.Command[named, sdk.None]{Name: "probe.Run"}, func(_ *sdk.Context, in named) error {
				_ = in.Bucket[0]
				return nil
			})
		}), "the hook before probe.Run panics"},
		"takes what is no object": {run(func(*sdk.Context, greedy) (sdk.None, error) { return sdk.None{}, nil }),
			`command probe.Run takes the input "[]", which is no object, without an error`},
		"refuses what its schema accepts": {run(func(*sdk.Context, struct {
			Text picky `json:"text"`
		}) (sdk.None, error) {
			return sdk.None{}, nil
		}), `its schema accepts {"text":"a"}, and the plugin does not`},
		"callback of a call that is over": {run(func(c *sdk.Context, _ named) (sdk.None, error) {
			if previous != nil {
				_, _ = sdk.Query[named](previous, sql.New("SELECT 1"))
			}
			previous = c
			return sdk.None{}, nil
		}), "a callback Query came when its call was over"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := failing(t, func(t testing.TB) { sdktest.Conform(t, tt.plugin) }); !strings.Contains(got, tt.want) {
				t.Errorf("reported %q, want %q", got, tt.want)
			}
		})
	}
}
