package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
)

// maxExampleDepth bounds examples of schemas that contain themselves.
const maxExampleDepth = 8

// example is a small value that a schema takes: what is required, with the name of a
// member as its text.
func (d *document) example(schema any, name string, depth int) any {
	s, ok := d.resolve(schema)
	if !ok || depth > maxExampleDepth {
		return name
	}
	for _, keyword := range []string{"example", "default", "const"} {
		if v := s[keyword]; v != nil {
			return v
		}
	}
	for _, keyword := range []string{"examples", "enum"} {
		if list, _ := s[keyword].([]any); len(list) > 0 {
			return list[0]
		}
	}
	for _, keyword := range []string{"oneOf", "anyOf", "allOf"} {
		if list, _ := s[keyword].([]any); len(list) > 0 {
			return d.example(list[0], name, depth+1)
		}
	}
	switch types := typesOf(s); {
	case slices.Contains(types, "object") || s["properties"] != nil:
		return d.exampleObject(s, depth)
	case slices.Contains(types, "array"):
		return []any{d.example(s["items"], strings.TrimSuffix(name, "s"), depth+1)}
	case slices.Contains(types, "integer"), slices.Contains(types, "number"):
		if least := s["minimum"]; least != nil {
			return least
		}
		return 1
	case slices.Contains(types, "boolean"):
		return true
	}
	return name
}

func (d *document) exampleObject(s object, depth int) any {
	out := object{}
	properties, _ := s["properties"].(object)
	for _, name := range namesOf(s["required"]) {
		out[name] = d.example(properties[name], name, depth+1)
	}
	return out
}

// resolve follows references within the document. A schema that is no object takes
// everything.
func (d *document) resolve(schema any) (object, bool) {
	s, ok := schema.(object)
	for hops := 0; ok && hops < maxExampleDepth; hops++ {
		ref, isRef := s["$ref"].(string)
		if !isRef {
			return s, true
		}
		s, ok = d.lookup(ref)
	}
	return s, ok
}

// lookup finds what a reference to a component, or into one, refers to.
func (d *document) lookup(ref string) (object, bool) {
	steps := strings.Split(strings.TrimPrefix(ref, schemaRef), "/")
	at := d.Components.Schemas[steps[0]]
	for _, step := range steps[1:] {
		members, _ := at.(object)
		at = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
	}
	out, ok := at.(object)
	return out, ok
}

// typesOf are the JSON types of a schema, null among them.
func typesOf(s object) []string {
	if one, ok := s["type"].(string); ok {
		return []string{one}
	}
	return namesOf(s["type"])
}

// namesOf are the texts of a list, be it from JSON or from here.
func namesOf(list any) []string {
	if texts, ok := list.([]string); ok {
		return texts
	}
	var out []string
	items, _ := list.([]any)
	for _, item := range items {
		if name, ok := item.(string); ok {
			out = append(out, name)
		}
	}
	return out
}

// curl is a command line that makes a request of an operation. Names in the path
// are variables of the shell.
func (d *document) curl(method, path string, o *operation) string {
	lines := []string{"curl "}
	if method != http.MethodGet {
		lines[0] += "-X " + method + " "
	}
	lines[0] += `"$URL` + shellPath(path) + shellQuery(d, o)
	if strings.HasPrefix(path, commandPath) && o.Security == nil && o.Permission != sdk.AnyKey {
		lines[0] += "?project=${PROJECT}" // without a route, nothing else says where a project's key works
	}
	lines[0] += `"`
	switch {
	case o.Security == nil:
		lines = append(lines, `-H "Authorization: Bearer $KEY"`)
	case len(*o.Security) > 0:
		lines = append(lines, `-H "Authorization: Bearer $ADMIN_KEY"`)
	}
	if o.Body != nil {
		if body, ok := o.Body.Content[string(engine.JSON)]; ok {
			raw, _ := json.Marshal(d.example(body.Schema, "", 0)) // made of JSON
			lines = append(lines, `-H "Content-Type: application/json"`, "-d "+singleQuoted(string(raw)))
		} else {
			lines = append(lines, `-H "Content-Type: application/octet-stream"`, "--data-binary @FILE")
		}
	}
	if _, bytes := o.Responses["206"]; bytes {
		lines = append(lines, "-o FILE")
	}
	return strings.Join(lines, " \\\n  ")
}

// secretVariables are those of the shell that hold keys.
var secretVariables = []string{"KEY", "ADMIN_KEY"}

var notInVariable = regexp.MustCompile(`[^A-Z0-9_]`)

// shellPath is a path within double quotes.
func shellPath(path string) string {
	var out strings.Builder
	end := 0
	for _, m := range pathVariable.FindAllStringSubmatchIndex(path, -1) {
		out.WriteString(doubleQuoted(path[end:m[0]]))
		name := notInVariable.ReplaceAllString(strings.ToUpper(path[m[2]:m[3]]), "_")
		if slices.Contains(secretVariables, name) { // a secret does not belong into a path
			name += "_ID"
		}
		out.WriteString("${" + name + "}")
		end = m[1]
	}
	out.WriteString(doubleQuoted(path[end:]))
	return out.String()
}

// shellQuery is the query of what a request must have. Escaped, it means nothing to
// a shell.
func shellQuery(d *document, o *operation) string {
	var out []string
	for _, p := range o.Parameters {
		if p.In == "query" && p.Required {
			out = append(out, url.QueryEscape(p.Name)+"="+url.QueryEscape(fmt.Sprint(d.example(p.Schema, p.Name, 0))))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "?" + strings.Join(out, "&")
}

func doubleQuoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s)
}

func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
