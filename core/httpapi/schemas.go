package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// schemaRef is where components are.
const schemaRef = "#/components/schemas/"

// minShared is how long a schema must be, in bytes of JSON, for a reference to be
// worth its while.
const minShared = 100

// schemas collects the schemas of the document by name. The same schema is there
// once: whoever adds it again gets a reference to the first one, and parts that
// several have in common become components as well.
type schemas struct {
	named map[string]any
	names map[string]string // by content
	local map[string]bool   // names of those with references of their own
}

func newSchemas() *schemas {
	return &schemas{named: map[string]any{}, names: map[string]string{}, local: map[string]bool{}}
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9._-]`)

// add returns a reference to a schema.
func (s *schemas) add(name string, schema any) object {
	content := canonical(schema)
	if known, ok := s.names[content]; ok {
		return object{"$ref": schemaRef + known}
	}
	name = s.free(name)
	s.names[content] = name
	if hasReferences(schema) {
		s.local[name] = true
		schema = rebase(schema, name)
	}
	s.named[name] = schema
	return object{"$ref": schemaRef + name}
}

// free is the name, or one like it that is not taken.
func (s *schemas) free(name string) string {
	name = notInName.ReplaceAllString(name, "_")
	out := name
	for n := 2; ; n++ {
		if _, taken := s.named[out]; !taken {
			return out
		}
		out = fmt.Sprintf("%s.%d", name, n)
	}
}

// share makes components of the parts that are there more than once. Schemas with
// references of their own stay whole.
func (s *schemas) share() {
	counts := map[string]int{}
	roots := slices.DeleteFunc(slices.Sorted(maps.Keys(s.named)), func(name string) bool { return s.local[name] })
	for _, name := range roots {
		parts(s.named[name], func(part object, _ string) object {
			counts[canonical(part)]++
			return nil
		})
	}
	for _, name := range roots {
		s.shareWithin(name, counts)
	}
}

// shareWithin replaces the common parts of one component.
func (s *schemas) shareWithin(name string, counts map[string]int) {
	parts(s.named[name], func(part object, at string) object {
		content := canonical(part)
		if known, ok := s.names[content]; ok {
			return object{"$ref": schemaRef + known}
		}
		if counts[content] < 2 || len(content) < minShared {
			return nil
		}
		own := s.free(notInName.ReplaceAllString(name+at, "_"))
		s.names[content], s.named[own] = own, part
		s.shareWithin(own, counts)
		return object{"$ref": schemaRef + own}
	})
}

// Keywords of a schema whose value is a schema, a list of schemas, or schemas by
// name (JSON Schema 2020-12).
var (
	keywordsOfOne  = []string{"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
	keywordsOfList = []string{"oneOf", "anyOf", "allOf", "prefixItems"}
	keywordsOfMap  = []string{"properties", "patternProperties", "$defs", "dependentSchemas"}
)

// parts visits every object schema below a schema, from the outside, with the path
// of property names to it. What visit returns takes its place, unless it is nil; in
// that case its own parts are visited.
func parts(schema any, visit func(part object, at string) object) {
	var below func(schema any, at string)
	replace := func(child any, at string, set func(any)) {
		part, ok := child.(object)
		if !ok {
			return
		}
		if part["properties"] != nil {
			if instead := visit(part, at); instead != nil {
				set(instead)
				return
			}
		}
		below(part, at)
	}
	below = func(schema any, at string) {
		node, ok := schema.(object)
		if !ok {
			return
		}
		for _, k := range keywordsOfOne {
			replace(node[k], at, func(v any) { node[k] = v })
		}
		for _, k := range keywordsOfList {
			list, _ := node[k].([]any)
			for i := range list {
				replace(list[i], at, func(v any) { list[i] = v })
			}
		}
		for _, k := range keywordsOfMap {
			byName, _ := node[k].(object)
			for _, name := range slices.Sorted(maps.Keys(byName)) {
				replace(byName[name], at+"."+name, func(v any) { byName[name] = v })
			}
		}
	}
	below(schema, "")
}

// references are the keywords that tie a schema to its place.
var references = []string{"$ref", "$dynamicRef", "$id", "$anchor", "$dynamicAnchor"}

func hasReferences(schema any) bool {
	return anywhere(schema, func(node object) bool {
		return slices.ContainsFunc(references, func(k string) bool { _, ok := node[k].(string); return ok })
	})
}

// rebase makes the references of a schema into itself work in its place in the
// document. A schema that refers to anything else cannot be shown there.
func rebase(schema any, name string) any {
	foreign := anywhere(schema, func(node object) bool {
		for _, k := range references {
			if v, ok := node[k].(string); ok && (k != "$ref" || v != "#" && !strings.HasPrefix(v, "#/")) {
				return true
			}
		}
		return false
	})
	if foreign {
		return object{"description": "This schema refers to others by name and is not shown here; see GET /commands."}
	}
	anywhere(schema, func(node object) bool {
		if v, ok := node["$ref"].(string); ok {
			node["$ref"] = schemaRef + name + strings.TrimPrefix(v, "#")
		}
		return false
	})
	return schema
}

// anywhere reports whether it holds for any object in a JSON value.
func anywhere(value any, holds func(object) bool) bool {
	switch v := value.(type) {
	case object:
		if holds(v) {
			return true
		}
		for _, member := range v {
			if anywhere(member, holds) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(item any) bool { return anywhere(item, holds) })
	}
	return false
}

// canonical is a JSON value as a text; the same value has the same text.
func canonical(value any) string {
	out, _ := json.Marshal(value) // it came from JSON
	return string(out)
}
