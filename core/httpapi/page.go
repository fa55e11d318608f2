package httpapi

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
)

// page is the document in the order in which people read it.
type page struct {
	Version  string
	Usual    []usual
	Groups   []group
	Problems []problemType
	Types    []shape // that several commands have in common
}

// group is a plugin.
type group struct {
	Name, Description string
	Commands          []entry
	Events            []namedEvent
}

type namedEvent struct {
	Name, Summary string
	Shape         shape
}

// entry is a command with its routes, or a route of the host.
type entry struct {
	ID, Name, Summary, Permission, Effect string
	Key                                   string // which key opens it
	Routes                                []address
	Curl                                  string
	Input                                 []row // parameters
	Body                                  shape
	Output                                shape
	Bytes                                 []string // media types beside JSON
	Problems                              []string
	AnyProblem                            bool
}

type address struct{ Method, Path string }

// shape is a schema as a table, or a reference to the place where that stands.
type shape struct {
	ID, Name string
	Rows     []row
	Known    bool   // its rows are elsewhere, at ID
	Any      string // what it is if it has no rows
}

// Is reports whether there is anything to show.
func (s shape) Is() bool { return s.Known || s.Any != "" || len(s.Rows) > 0 }

// row is one member of a schema, or a parameter.
type row struct {
	Name, In, Type, Text string
	Required             bool
	Ref                  string // of the shape of its type, or empty
}

// pager makes a page of a document.
type pager struct {
	*document
	shown map[string]bool // components that have their rows on the page
	later []string        // components that rows refer to
	usual []usual
}

// usual are the problems that all commands of a kind may answer with: they are said
// once.
type usual struct {
	Who      string
	Problems []string
	of       func(*operation, address) bool
}

func newPage(d *document) page {
	p := &pager{document: d, shown: map[string]bool{}, usual: d.usual()}
	out := page{Version: d.Info.Version, Usual: p.usual}
	entries := p.entries()
	for _, t := range d.Tags {
		g := group{Name: t.Name, Description: t.Description, Commands: entries[t.Name]}
		for _, name := range slices.Sorted(maps.Keys(d.Events)) {
			if e := d.Events[name]; e.Plugin == t.Name {
				g.Events = append(g.Events, namedEvent{name, e.Summary, p.shape(e.Schema)})
			}
		}
		out.Groups = append(out.Groups, g)
	}
	for i := 0; i < len(p.later); i++ { // showing one may find others
		if name := p.later[i]; !p.shown[name] {
			out.Types = append(out.Types, p.shape(object{"$ref": schemaRef + name}))
		}
	}
	out.Problems = slices.SortedFunc(maps.Values(d.Problems), func(a, b problemType) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Type, b.Type))
	})
	return out
}

// usual finds them, from the widest kind on: what one has is not said of the next.
func (d *document) usual() []usual {
	out := []usual{
		{Who: "Every command", of: func(*operation, address) bool { return true }},
		{Who: "Every write", of: func(o *operation, _ address) bool { return o.Effect == "write" }},
		{Who: "Every command in a project", of: func(_ *operation, at address) bool { return scoped(route{path: at.Path}) }},
		{Who: "Every command of a plugin", of: func(o *operation, _ address) bool { return slices.Contains(o.Problems, sdk.ErrPluginDied.Slug) }},
	}
	for i := range out {
		out[i].Problems = slices.DeleteFunc(d.common(out[i].of), func(slug string) bool {
			return slices.ContainsFunc(out[:i], func(u usual) bool { return slices.Contains(u.Problems, slug) })
		})
	}
	return out
}

// common are the problems that all commands of a kind may answer with.
func (d *document) common(of func(*operation, address) bool) []string {
	commands := 0
	counts := map[string]int{}
	for path, methods := range d.Paths {
		for method, o := range methods {
			if o.Command == "" || !of(o, address{method, path}) {
				continue
			}
			commands++
			for _, slug := range o.Problems {
				counts[slug]++
			}
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(counts)), func(slug string) bool { return counts[slug] < commands })
}

// entries are the operations by plugin. What one command's routes have in common is
// said once, for the first of them.
func (p *pager) entries() map[string][]entry {
	type place struct {
		address
		*operation
	}
	var places []place
	for where, methods := range p.Paths {
		for method, o := range methods {
			places = append(places, place{address{strings.ToUpper(method), where}, o})
		}
	}
	// The first route of a command has the shortest id.
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.ID, b.ID) })
	out := map[string][]entry{}
	at := map[string]int{}
	for _, o := range places {
		group := out[o.Tags[0]]
		name := cmp.Or(o.Command, o.ID)
		i, known := at[name]
		if !known {
			i, at[name] = len(group), len(group)
			group = append(group, p.entry(name, o.address, o.operation))
		}
		group[i].Routes = append(group[i].Routes, o.address)
		out[o.Tags[0]] = group
	}
	return out
}

func (p *pager) entry(name string, at address, o *operation) entry {
	e := entry{
		ID: "c-" + name, Name: name, Summary: o.Summary, Permission: o.Permission, Effect: o.Effect,
		Key: "the project's key or the admin key", Curl: p.curl(at.Method, at.Path, o),
	}
	if e.AnyProblem = len(o.Problems) == len(p.Problems); !e.AnyProblem {
		e.Problems = slices.DeleteFunc(slices.Clone(o.Problems), func(slug string) bool {
			return o.Command != "" && slices.ContainsFunc(p.usual, func(u usual) bool {
				return u.of(o, at) && slices.Contains(u.Problems, slug)
			})
		})
	}
	switch {
	case o.Permission == sdk.AnyKey:
		e.Key = "any key"
	case o.Security != nil && len(*o.Security) == 0:
		e.Key = "no key"
	case o.Security != nil:
		e.Key = "the admin key"
	}
	for _, in := range o.Parameters {
		if in.Ref == "" {
			e.Input = append(e.Input, p.row(in.Name, in.In, in.Schema, in.Required, in.Description))
		}
	}
	if o.Body != nil {
		e.Body = p.body(o.Body)
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if r := o.Responses[status]; r.Ref == "" && len(r.Content) > 0 {
			for _, mediaType := range slices.Sorted(maps.Keys(r.Content)) {
				if mediaType == string(engine.JSON) {
					e.Output = p.shape(r.Content[mediaType].Schema)
				} else {
					e.Bytes = append(e.Bytes, mediaType)
				}
			}
			break
		}
	}
	return e
}

// body shows a JSON body, or says that it is bytes.
func (p *pager) body(b *requestBody) shape {
	content, isJSON := b.Content[string(engine.JSON)]
	if !isJSON {
		return shape{Any: b.Description}
	}
	return p.shape(content.Schema)
}

// shape shows a schema, once. A component has a place that others refer to.
func (p *pager) shape(schema any) shape {
	s, ok := p.resolve(schema)
	if !ok || len(s) == 0 {
		return shape{Any: "any JSON"}
	}
	out := shape{}
	if ref, isRef := schema.(object)["$ref"].(string); isRef {
		out.Name = strings.TrimPrefix(ref, schemaRef)
		out.ID = "t-" + out.Name
		if p.shown[out.Name] {
			out.Known = true
			return out
		}
		p.shown[out.Name] = true
	}
	properties, _ := s["properties"].(object)
	if properties == nil {
		out.Any = p.typeOf(s) + ". " + describeLimits(s)
		return out
	}
	out.Rows = p.members(s, "", 0)
	return out
}

// maxNested is how deep the objects within objects go that a table shows.
const maxNested = 3

// members lists the members of an object, and below each the members of the object
// that it is or lists, unless that has a place of its own.
func (p *pager) members(s object, prefix string, depth int) []row {
	var out []row
	properties, _ := s["properties"].(object)
	required := namesOf(s["required"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		r := p.row(prefix+name, "", properties[name], slices.Contains(required, name), "")
		out = append(out, r)
		if inner, at := inlined(properties[name], prefix+name); inner != nil && depth < maxNested {
			out = append(out, p.members(inner, at+".", depth+1)...)
		}
	}
	return out
}

// inlined finds the object that a schema is, lists, or accepts, and how its members
// are written.
func inlined(schema any, at string) (object, string) {
	s, ok := schema.(object)
	if !ok {
		return nil, ""
	}
	if _, has := s["properties"].(object); has {
		return s, at
	}
	if items, isArray := s["items"].(object); isArray {
		return inlined(items, at+"[]")
	}
	for _, keyword := range []string{"oneOf", "anyOf"} {
		list, _ := s[keyword].([]any)
		for _, item := range list {
			if inner, at := inlined(item, at); inner != nil {
				return inner, at
			}
		}
	}
	return nil, ""
}

func (p *pager) row(name, in string, schema any, required bool, description string) row {
	r := row{Name: name, In: in, Required: required, Text: description, Type: p.typeOf(schema)}
	if ref := referenceOf(schema); ref != "" && p.Components.Schemas[ref] != nil {
		r.Ref = "t-" + ref
		p.later = append(p.later, ref)
	}
	if s, ok := schema.(object); ok {
		r.Text = strings.TrimSpace(r.Text + " " + describeLimits(s))
	}
	return r
}

// referenceOf is the component that a schema is, or lists.
func referenceOf(schema any) string {
	s, _ := schema.(object)
	if ref, ok := s["$ref"].(string); ok {
		return strings.TrimPrefix(ref, schemaRef)
	}
	if items, ok := s["items"].(object); ok {
		return referenceOf(items)
	}
	return ""
}

// typeOf names the type of a schema in words.
func (p *pager) typeOf(schema any) string {
	s, ok := schema.(object)
	if !ok || len(s) == 0 {
		return "any"
	}
	if ref, isRef := s["$ref"].(string); isRef {
		return path.Base(ref) // the name of a component, or of a part of one
	}
	for _, keyword := range []string{"oneOf", "anyOf"} {
		if list, _ := s[keyword].([]any); len(list) > 0 {
			var names []string
			for _, item := range list {
				names = append(names, p.typeOf(item))
			}
			return strings.Join(names, " or ")
		}
	}
	types := slices.Clone(typesOf(s))
	for i, t := range types {
		if t == "array" && s["items"] != nil {
			types[i] = "array of " + p.typeOf(s["items"])
		}
	}
	if len(types) == 0 {
		return "any"
	}
	slices.SortStableFunc(types, func(a, b string) int { // null is said last
		return cmp.Compare(strings.Count(a, "null"), strings.Count(b, "null"))
	})
	return strings.Join(types, " or ")
}

// describeLimits says what a schema demands beyond its type.
func describeLimits(s object) string {
	var out []string
	if text, ok := s["description"].(string); ok && text != "" {
		out = append(out, text)
	}
	if list, ok := s["enum"].([]any); ok {
		out = append(out, "one of "+strings.Trim(canonical(list), "[]"))
	}
	for _, limit := range []struct{ keyword, words string }{
		{"default", "default %s"}, {"minimum", "at least %s"}, {"maximum", "at most %s"}, {"minLength", "%s characters at least"},
		{"maxLength", "%s characters at most"}, {"pattern", "matches %s"}, {"format", "%s"},
	} {
		if v := s[limit.keyword]; v != nil {
			out = append(out, fmt.Sprintf(limit.words, plainly(v)))
		}
	}
	return strings.Join(out, "; ")
}

// plainly is a JSON value without the quotes of a text.
func plainly(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	return canonical(value)
}
