package sdk_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

// color describes itself.
type color string

func (color) JSONSchema() *jsonschema.Schema { return sdk.Enum("red", "blue") }

// common is shared by requests.
type common struct {
	Bucket sdk.Name `json:"bucket" in:"path"`
}

type options struct {
	Deep *color `json:"deep,omitempty"`
}

type everything struct {
	common
	Text    string          `json:"text" jsonschema:"some text"`
	Number  int64           `json:"number,omitempty"`
	Limit   sdk.PageLimit   `json:"limit,omitempty" in:"query"`
	Flag    *bool           `json:"flag,omitempty"`
	Color   color           `json:"color,omitempty"`
	Colors  []color         `json:"colors,omitempty"`
	Options options         `json:"options,omitzero"`
	ByName  map[string]bool `json:"byName,omitempty"`
	Hidden  string          `json:"-"`
}

func TestSchema(t *testing.T) {
	t.Parallel()
	c := handle[everything, response, response]("probe.Run").Describe().GetCommands()[0]
	var got map[string]any
	if err := json.Unmarshal(c.GetInputSchema(), &got); err != nil {
		t.Fatal(err)
	}
	name := map[string]any{"type": "string", "minLength": 1.0, "maxLength": 255.0, "pattern": `^[^/\x00-\x1f\x7f]*$`}
	enum := map[string]any{"type": "string", "enum": []any{"red", "blue"}}
	want := map[string]any{
		"type": "object", "additionalProperties": false, "required": []any{"bucket", "text"},
		"properties": map[string]any{
			"bucket": name,
			"text":   map[string]any{"type": "string", "description": "some text"},
			"number": map[string]any{"type": "integer"},
			"limit":  map[string]any{"type": "integer", "minimum": 1.0, "maximum": 1000.0, "default": 100.0},
			"flag":   map[string]any{"type": []any{"null", "boolean"}},
			"color":  enum,
			"colors": map[string]any{"type": []any{"null", "array"}, "items": enum},
			"options": map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
				"deep": map[string]any{"type": []any{"null", "string"}, "enum": []any{"red", "blue"}},
			}},
			"byName": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "boolean"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var params []string
	for _, p := range c.GetParameters() {
		params = append(params, p.GetName()+" "+p.GetLocation().String())
	}
	if diff := cmp.Diff([]string{"bucket LOCATION_PATH", "limit LOCATION_QUERY"}, params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

// The handler refuses what its type does not know, even if a host lets it pass.
func TestSchemaIsChecked(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, handle[everything, response, response]("probe.Run"))
	for _, tt := range []struct {
		input string
		ok    bool
	}{
		{`{"bucket":"in.c-main","text":""}`, true},
		{`{"bucket":"字 \" ' ? $1","text":"","color":"red","colors":["blue"],"limit":1000,"flag":null}`, true},
		{`{"text":""}`, false},
		{`{"bucket":"","text":""}`, false},
		{`{"bucket":"a/b","text":""}`, false},
		{`{"bucket":"a\tb","text":""}`, false},
		{`{"bucket":"a\u007f","text":""}`, false},
		{`{"bucket":"b","text":"","limit":0}`, false},
		{`{"bucket":"b","text":"","limit":1001}`, false},
		{`{"bucket":"b","text":"","limit":1.5}`, false},
		{`{"bucket":"b","text":"","color":"green"}`, false},
		{`{"bucket":"b","text":"","options":{"deep":"green"}}`, false},
		{`{"bucket":"b","text":"","more":1}`, false},
		{`{"bucket":"b","text":"","Hidden":"x"}`, false},
		{`{"bucket":"b","text":"","options":{"more":1}}`, false},
	} {
		err := h.InvokeJSON("probe.Run", tt.input).Err()
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: %v", tt.input, err)
		}
	}
}
