package sdktest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// document is a JSON Schema, or a part of one.
type document map[string]any

func parseSchema(raw []byte) document {
	var out document
	_ = json.Unmarshal(raw, &out) // one that is no JSON is reported by compile
	return out
}

// payloads are inputs made from the schema of a command.
type payloads struct {
	valid     []string // accepted by the schema
	malformed []string // no JSON object: must be answered with an error
	invalid   []string // JSON objects that the schema refuses: must not do harm
}

func payloadsFor(raw []byte) payloads {
	schema := parseSchema(raw)
	out := payloads{malformed: []string{"", "{", "[]", `"text"`, "17", `{"a":}`, strings.Repeat("[", 1000), "\x00"}}
	good, _ := example(schema).(map[string]any)
	add := func(value map[string]any) {
		text := mustJSON(value)
		if check(raw, []byte(text)) == nil {
			out.valid = append(out.valid, text)
		} else {
			out.invalid = append(out.invalid, text)
		}
	}
	add(good)
	add(map[string]any{})
	add(with(good, "no such member", 1))
	for _, name := range slices.Sorted(maps.Keys(good)) {
		less := maps.Clone(good)
		delete(less, name)
		add(less)
		for _, value := range hostile {
			add(with(good, name, value))
		}
	}
	out.invalid = append(out.invalid, "null")
	return out
}

// hostile are values that code may not be ready for.
var hostile = []any{
	nil, true, "", 0, -1, 1 << 40, 0.5, []any{}, []any{nil}, map[string]any{}, map[string]any{"a": nil},
	`odd"name`, `'; DROP TABLE t; --`, "ä\u2028\U0001f600", "\x00", "../../etc/passwd", strings.Repeat("x", 10000),
}

func with(object map[string]any, name string, value any) map[string]any {
	out := maps.Clone(object)
	if out == nil {
		out = map[string]any{}
	}
	out[name] = value
	return out
}

func mustJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // a value of this file
	}
	return string(raw)
}

// example is a value that a schema accepts, as far as can be told from its type and
// its bounds; a pattern may refuse it.
func example(s document) any {
	for _, key := range []string{"const", "default"} {
		if value, ok := s[key]; ok {
			return value
		}
	}
	for _, key := range []string{"enum", "examples"} {
		if values, ok := s[key].([]any); ok && len(values) > 0 {
			return values[0]
		}
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		if options, ok := s[key].([]any); ok && len(options) > 0 {
			return example(asDocument(options[0]))
		}
	}
	switch typeOf(s) {
	case "string":
		if s["format"] == "date-time" {
			return "2026-01-02T03:04:05Z"
		}
		return strings.Repeat("a", max(1, number(s["minLength"])))
	case "integer", "number":
		return max(1, number(s["minimum"]))
	case "boolean":
		return true
	case "array":
		items := make([]any, max(1, number(s["minItems"])))
		for i := range items {
			items[i] = example(asDocument(s["items"]))
		}
		return items
	case "object":
		out := map[string]any{}
		for name, property := range asDocument(s["properties"]) {
			out[name] = example(asDocument(property))
		}
		return out
	}
	return nil
}

// typeOf is the first type that is not null.
func typeOf(s document) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok && name != "null" {
				return name
			}
		}
	}
	return ""
}

func number(v any) int {
	f, _ := v.(float64)
	return int(f)
}

func asDocument(v any) document {
	out, _ := v.(map[string]any)
	return out
}
