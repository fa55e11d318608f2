package pluginhost

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Command is a declared command together with who answers it.
type Command struct {
	*pluginv1.Command
	Plugin string

	owner invoker
	input *jsonschema.Schema
}

// newCommand compiles the schema of a declaration.
func newCommand(plugin string, owner invoker, c *pluginv1.Command) (*Command, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(c.GetInputSchema()))
	if err != nil {
		return nil, fmt.Errorf("command %s: input schema is no JSON: %w", c.GetName(), err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("input.json", doc); err != nil {
		return nil, fmt.Errorf("command %s: input schema: %w", c.GetName(), err)
	}
	input, err := compiler.Compile("input.json")
	if err != nil {
		return nil, fmt.Errorf("command %s: input schema: %w", c.GetName(), err)
	}
	return &Command{Command: c, Plugin: plugin, owner: owner, input: input}, nil
}

// Violation is one way in which an input breaks its schema.
type Violation struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// InputError lists every violation of an input.
type InputError struct {
	Err        *sdk.Error
	Violations []Violation
}

func (e *InputError) Error() string { return e.Err.Detail }

// Unwrap lets errors.As find the *sdk.Error.
func (e *InputError) Unwrap() error { return e.Err }

// validate checks a payload against the command's schema. Numbers keep their
// text, so a 64-bit integer is not rounded.
func (c *Command) validate(payload []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return sdk.ErrMalformed.Errorf("the input is not valid JSON: %v", err)
	}
	err = c.input.Validate(doc)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	violations := flatten(invalid)
	slices.SortFunc(violations, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return &InputError{
		Err:        sdk.ErrMalformed.Errorf("%s", describe(violations)).At(violations[0].Pointer),
		Violations: violations,
	}
}

func describe(violations []Violation) string {
	var lines []string
	for _, v := range violations {
		where := v.Pointer
		if where == "" {
			where = "the input"
		}
		lines = append(lines, where+": "+v.Detail)
	}
	return strings.Join(lines, "; ")
}

var english = message.NewPrinter(language.English)

// flatten returns the leaves of a validation error: what is wrong, not the way
// there.
func flatten(e *jsonschema.ValidationError) []Violation {
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		// Of several accepted shapes, the one that the input came closest to.
		e = slices.MaxFunc(e.Causes, func(a, b *jsonschema.ValidationError) int { return cmp.Compare(depth(a), depth(b)) })
	}
	if len(e.Causes) > 0 {
		var out []Violation
		for _, cause := range e.Causes {
			out = append(out, flatten(cause)...)
		}
		return out
	}
	at := pointer(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var out []Violation
		for _, p := range k.Properties {
			out = append(out, Violation{at + pointer([]string{p}), "unknown field"})
		}
		return out
	case *kind.Required:
		var out []Violation
		for _, p := range k.Missing {
			out = append(out, Violation{at + pointer([]string{p}), "is required"})
		}
		return out
	}
	return []Violation{{at, e.ErrorKind.LocalizedString(english)}}
}

// depth is how far into the input an error lies.
func depth(e *jsonschema.ValidationError) int {
	deepest := len(e.InstanceLocation)
	switch e.ErrorKind.(type) {
	case *kind.AdditionalProperties, *kind.Required: // about a member
		deepest++
	}
	for _, c := range e.Causes {
		deepest = max(deepest, depth(c))
	}
	return deepest
}

func pointer(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}

// ParameterType is the JSON type that the input schema gives a parameter, for
// example "integer"; a parameter that may be null counts as its other type.
func (c *Command) ParameterType(name string) string {
	var schema struct {
		Properties map[string]struct {
			Type json.RawMessage `json:"type"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(c.GetInputSchema(), &schema); err != nil {
		return "string"
	}
	raw := schema.Properties[name].Type
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	var several []string
	if json.Unmarshal(raw, &several) == nil {
		for _, t := range several {
			if t != "null" {
				return t
			}
		}
	}
	return "string"
}
