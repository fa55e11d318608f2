package sdk_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
)

type settings struct {
	Greeting string `json:"greeting,omitempty"`
	Most     int    `json:"most"`
}

func (s settings) Validate() error {
	if s.Most > 9 {
		return errors.New("most is over 9")
	}
	return nil
}

func TestConfig(t *testing.T) {
	t.Parallel()
	p := sdk.New("probe", "1.0.0")
	s := sdk.Config(p, settings{Greeting: "hello", Most: 3})
	if got := s.Get(); got != (settings{"hello", 3}) {
		t.Errorf("before Configure: %+v", got)
	}
	for _, tt := range []struct {
		config, refusal string
		want            settings
	}{
		{``, "", settings{"hello", 3}},
		{`{"most":5}`, "", settings{"hello", 5}},
		{`{"most":10}`, "plugin probe refuses its settings: most is over 9", settings{"hello", 5}},
		{`{"least":1}`, `unknown field "least"`, settings{"hello", 5}},
		{`{"greeting":"","most":0}`, "", settings{"", 0}},
		{`{"most":1}`, "", settings{"hello", 1}}, // the defaults are as they were
	} {
		refusal := p.Configure([]byte(tt.config))
		if (refusal == nil) != (tt.refusal == "") || !strings.Contains(refusal.GetDetail(), tt.refusal) {
			t.Errorf("%s: refused with %q, want %q", tt.config, refusal.GetDetail(), tt.refusal)
		}
		if got := s.Get(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.config, got, tt.want)
		}
	}
	var schema struct {
		Properties           map[string]map[string]any
		Required             []string
		AdditionalProperties any
	}
	if err := json.Unmarshal(p.Describe().GetConfigSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"most"}, schema.Required); diff != "" || schema.AdditionalProperties == nil {
		t.Errorf("the schema: %s", p.Describe().GetConfigSchema())
	}
	if schema.Properties["greeting"]["default"] != "hello" || schema.Properties["most"]["default"] != nil {
		t.Errorf("defaults of the schema: %s", p.Describe().GetConfigSchema())
	}
}

func TestNoConfig(t *testing.T) {
	t.Parallel()
	p := sdk.New("probe", "1.0.0")
	if refusal := p.Configure(nil); refusal != nil {
		t.Errorf("nothing is refused: %v", refusal)
	}
	if refusal := p.Configure([]byte(`{}`)); !strings.Contains(refusal.GetDetail(), "plugin probe has no settings") {
		t.Errorf("settings: %v", refusal)
	}
}

type rule struct {
	Name   string `json:"name"`
	Strict bool   `json:"strict,omitempty"`
}

type rules struct {
	Rules  []rule         `json:"rules,omitempty"`
	Limits map[string]int `json:"limits,omitempty"`
	Other  struct {
		First *rule `json:"first,omitempty"`
		Most  int   `json:"most,omitempty"`
	} `json:"other,omitempty"`
}

// What the operator sets does not take over parts of the default that it replaces.
func TestConfigReplacesLists(t *testing.T) {
	t.Parallel()
	defaults := func() (r rules) {
		r.Rules, r.Limits = []rule{{"a", true}, {"b", true}}, map[string]int{"x": 1}
		r.Other.First, r.Other.Most = &rule{"c", true}, 3
		return r
	}
	p := sdk.New("probe", "1.0.0")
	s := sdk.Config(p, defaults())
	for config, want := range map[string]func(*rules){
		`{"rules":[{"name":"z"}]}`:         func(r *rules) { r.Rules = []rule{{"z", false}} },
		`{"rules":[]}`:                     func(r *rules) { r.Rules = []rule{} },
		`{"limits":{"y":2}}`:               func(r *rules) { r.Limits = map[string]int{"y": 2} },
		`{"other":{"first":{"name":"z"}}}`: func(r *rules) { r.Other.First = &rule{"z", false} },
		`{"other":{"most":4}}`:             func(r *rules) { r.Other.Most = 4 },
		`{}`:                               func(*rules) {},
	} {
		if refusal := p.Configure([]byte(config)); refusal != nil {
			t.Errorf("%s: %v", config, refusal)
		}
		wanted := defaults()
		want(&wanted)
		if diff := cmp.Diff(wanted, s.Get()); diff != "" {
			t.Errorf("%s: %s", config, diff)
		}
	}
}
