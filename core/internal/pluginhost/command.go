package pluginhost

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

	owner *member
	input *jsonschema.Schema
}

// Core reports whether the command is the host's own, which is never down.
func (c *Command) Core() bool { return c.owner.core }

// newCommand compiles the schemas of a declaration.
func newCommand(plugin string, c *pluginv1.Command) (*Command, error) {
	input, err := compileSchema("command "+c.GetName()+": the input", c.GetInputSchema())
	if err != nil {
		return nil, err
	}
	var object struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(c.GetInputSchema(), &object) != nil || object.Type != "object" {
		return nil, fmt.Errorf(`command %s: the schema of the input must have "type": "object"`, c.GetName())
	}
	if len(c.GetOutputSchema()) > 0 {
		if _, err := compileSchema("command "+c.GetName()+": the answer", c.GetOutputSchema()); err != nil {
			return nil, err
		}
	}
	for n, p := range c.GetParameters() {
		if slices.ContainsFunc(c.GetParameters()[:n], func(other *pluginv1.Parameter) bool { return other.GetName() == p.GetName() }) {
			return nil, fmt.Errorf("command %s: its parameter %q is declared twice", c.GetName(), p.GetName())
		}
	}
	return &Command{Command: c, Plugin: plugin, input: input}, nil
}

// maxSchemaDepth bounds how deep a schema nests, counted in JSON. Compiling takes the
// cube of it (4000 levels took 24 s, 100 take 2 ms); those of the product nest 10.
const maxSchemaDepth = 100

// compileSchema compiles a JSON Schema; what names it in errors.
func compileSchema(what string, raw []byte) (schema *jsonschema.Schema, err error) {
	defer rescue(&err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: its schema is no JSON: %w", what, err)
	}
	if nesting(doc) > maxSchemaDepth {
		return nil, fmt.Errorf("%s: its schema nests deeper than %d", what, maxSchemaDepth)
	}
	if found := hugeNumbers(doc, nil); len(found) > 0 {
		return nil, fmt.Errorf("%s: its schema: %s", what, describe(found))
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // no file and no network
	if err := compiler.AddResource("schema.json", doc); err != nil {
		return nil, fmt.Errorf("%s: its schema: %w", what, err)
	}
	if schema, err = compiler.Compile("schema.json"); err != nil {
		return nil, fmt.Errorf("%s: its schema: %w", what, err)
	}
	return schema, nil
}

// rescue makes an error of a panic in the library of schemas: neither what a plugin
// declares nor what a client sends may end the service.
func rescue(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("it cannot be checked: %v", v)
	}
}

// nesting is how deep a JSON value nests.
func nesting(value any) (deepest int) {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			deepest = max(deepest, 1+nesting(member))
		}
	case []any:
		for _, item := range v {
			deepest = max(deepest, 1+nesting(item))
		}
	}
	return deepest
}

// maxNumber bounds the digits and the exponent of a number in JSON. Calculating with
// larger ones takes long, and the library of schemas panics on some.
const maxNumber = 1000

// hugeNumbers finds the numbers of a JSON value that are over maxNumber.
func hugeNumbers(value any, at []string) (found []Violation) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			found = append(found, hugeNumbers(member, append(at, name))...)
		}
	case []any:
		for n, item := range v {
			found = append(found, hugeNumbers(item, append(at, strconv.Itoa(n)))...)
		}
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(v.String()), "e")
		n, err := strconv.Atoi(cmp.Or(exponent, "0"))
		if err != nil || len(v) > maxNumber || n > maxNumber || n < -maxNumber {
			return []Violation{{pointer(at), "the number is out of range"}}
		}
	}
	return found
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

// validate checks a payload against the command's schema.
func (c *Command) validate(payload []byte) error {
	found, err := violations(c.input, payload)
	if err != nil {
		return sdk.ErrMalformed.Errorf("the input is not valid JSON: %v", err)
	}
	if len(found) == 0 {
		return nil
	}
	return &InputError{Err: sdk.ErrMalformed.Errorf("%s", describe(found)).At(found[0].Pointer), Violations: found}
}

// violations checks JSON against a schema and returns what breaks it, by pointer.
// Numbers keep their text, so a 64-bit integer is not rounded. The error is about
// text that is no JSON.
func violations(schema *jsonschema.Schema, raw []byte) (found []Violation, err error) {
	defer rescue(&err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if found = hugeNumbers(doc, nil); len(found) == 0 {
		var invalid *jsonschema.ValidationError
		if err := schema.Validate(doc); !errors.As(err, &invalid) {
			return nil, err
		}
		found = flatten(invalid)
	}
	slices.SortFunc(found, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return found, nil
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
		if len(e.Causes) == 0 {
			break // it has more of the shapes than the one that it may have
		}
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
