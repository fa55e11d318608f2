package manual

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Markdown is the manual of a plugin.
func Markdown(d *pluginv1.DescribeResponse) string {
	p := &page{}
	p.line("# Plugin %s %s", d.GetName(), d.GetVersion())
	p.text(d.GetSummary())
	p.needs(d)
	if len(d.GetCommands()) > 0 {
		p.heading("## Commands")
	}
	for _, c := range d.GetCommands() {
		p.command(c)
	}
	p.events(d)
	p.settings(d)
	return strings.TrimSpace(strings.ReplaceAll(p.String(), "\n\n\n", "\n\n")) + "\n"
}

type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) heading(text string) { p.line("\n%s\n", text) }

func (p *page) text(text string) {
	if text != "" {
		p.line("\n%s", text)
	}
}

// row is a row of a table; a bar in a cell would end it.
func (p *page) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.ReplaceAll(c, "|", `\|`), "\n", " ")
	}
	p.line("| %s |", strings.Join(cells, " | "))
}

func (p *page) table(columns ...string) {
	p.line("")
	p.row(columns...)
	p.line("|%s", strings.Repeat("---|", len(columns)))
}

func code(text string) string { return "`" + text + "`" }

// codes is a list of them; the empty list is a dash.
func codes(texts []string) string {
	if len(texts) == 0 {
		return "–"
	}
	return "`" + strings.Join(texts, "`, `") + "`"
}

func (p *page) needs(d *pluginv1.DescribeResponse) {
	if yaml := Configuration(d); yaml != "" {
		p.text("It is loaded with this configuration:")
		p.line("\n```yaml\n%s```", yaml)
	}
	if features := d.GetNeedsFeatures(); len(features) > 0 {
		p.text("Features of the host that it needs: " + codes(features) + ".")
	}
	if len(d.GetDependencies()) == 0 {
		return
	}
	p.heading("## Other plugins")
	for _, dep := range d.GetDependencies() {
		versions := dep.GetVersions()
		if versions == "" {
			versions = "any version"
		}
		how := "needs"
		if dep.GetOptional() {
			how = "works with"
		}
		p.line("- %s %s, %s", how, code(dep.GetPlugin()), versions)
	}
}

func (p *page) command(c *pluginv1.Command) {
	p.line("### %s\n\n%s\n", c.GetName(), c.GetSummary())
	for _, r := range c.GetRoutes() {
		p.line("- %s → %d", code(r.GetMethod()+" "+route(r)), r.GetStatus())
	}
	effect := "reads"
	if c.GetEffect() == pluginv1.Effect_EFFECT_WRITE {
		effect = "writes"
	}
	p.line("- It %s, answers %s, and takes the permission %s.", effect, form(c), code(c.GetPermission()))
	p.inputs(c)
	if problems := c.GetProblems(); len(problems) > 0 {
		p.table("problem", "kind", "code", "title")
		for _, problem := range problems {
			p.row(code(problem.GetCode()), kind(problem.GetKind()), fmt.Sprint(problem.GetDriverCode()), problem.GetTitle())
		}
	}
	p.line("")
}

// form is the kind of answer in words.
func form(c *pluginv1.Command) string {
	switch c.GetForm() {
	case pluginv1.Form_FORM_ROWS:
		return "rows"
	case pluginv1.Form_FORM_FILE:
		return "the bytes of a file"
	case pluginv1.Form_FORM_EXPORT:
		return "a file of rows, or the rows"
	case pluginv1.Form_FORM_JOB:
		return "a job"
	}
	if c.GetOutputSchema() == nil {
		return "nothing"
	}
	return "JSON"
}

func kind(k pluginv1.Kind) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(k.String(), "KIND_"), "_", " "))
}

func (p *page) inputs(c *pluginv1.Command) {
	locations := map[string]string{}
	for _, param := range c.GetParameters() {
		locations[param.GetName()] = strings.ToLower(strings.TrimPrefix(param.GetLocation().String(), "LOCATION_"))
	}
	p.members("input", "in", c.GetInputSchema(), func(name string, _ *jsonschema.Schema) string {
		if in, ok := locations[name]; ok {
			return in
		}
		return "body"
	})
}

func (p *page) settings(d *pluginv1.DescribeResponse) {
	if d.GetConfigSchema() == nil {
		return
	}
	p.heading("## Settings")
	p.line("Below %s.", code("plugins."+d.GetName()+".config"))
	p.members("setting", "default", d.GetConfigSchema(), func(_ string, s *jsonschema.Schema) string {
		if s.Default == nil {
			return "–"
		}
		return code(string(s.Default))
	})
}

// members is a table of the members of an object: name, type, one column more, and
// whether it is required.
func (p *page) members(title, column string, schema []byte, cell func(name string, s *jsonschema.Schema) string) {
	var object jsonschema.Schema
	if json.Unmarshal(schema, &object) != nil || len(object.Properties) == 0 {
		return
	}
	p.table(title, "type", column, "required", "meaning")
	for _, name := range order(&object) {
		s := object.Properties[name]
		required := ""
		if slices.Contains(object.Required, name) {
			required = "yes"
		}
		p.row(code(name), types(s), cell(name, s), required, s.Description)
	}
}

// order is that of the type, or of the alphabet.
func order(object *jsonschema.Schema) []string {
	if len(object.PropertyOrder) == len(object.Properties) {
		return object.PropertyOrder
	}
	var names []string
	for name := range object.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// types is the type of a member in words.
func types(s *jsonschema.Schema) string {
	names := s.Types
	if s.Type != "" {
		names = []string{s.Type}
	}
	names = slices.DeleteFunc(slices.Clone(names), func(t string) bool { return t == "null" })
	text := strings.Join(names, " or ")
	switch {
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			raw, _ := json.Marshal(v) // came from JSON
			values[i] = string(raw)
		}
		return strings.Join(values, " or ")
	case s.Items != nil && text == "array":
		return "array of " + types(s.Items)
	case text == "":
		return "any"
	}
	return text
}

func (p *page) events(d *pluginv1.DescribeResponse) {
	if len(d.GetEvents()) > 0 {
		p.heading("## Events")
		for _, e := range d.GetEvents() {
			p.line("### %s\n\n%s", e.GetName(), e.GetSummary())
			p.members("member", "nullable", e.GetSchema(), nullable)
			p.line("")
		}
	}
	if len(d.GetHooks()) > 0 {
		p.heading("## Before other commands")
		for _, h := range d.GetHooks() {
			text := "- It is asked before " + code(h.GetCommand())
			if h.GetTimeoutSeconds() > 0 {
				text += fmt.Sprintf(", for at most %d s", h.GetTimeoutSeconds())
			}
			if h.GetFailOpen() {
				text += "; the command runs although it cannot be asked"
			}
			if len(h.GetProblems()) > 0 {
				slugs := make([]string, len(h.GetProblems()))
				for i, problem := range h.GetProblems() {
					slugs[i] = problem.GetCode()
				}
				text += "; it refuses with " + codes(slugs)
			}
			p.line("%s.", text)
		}
	}
	if len(d.GetSubscriptions()) > 0 {
		p.heading("## After events")
		p.line("It hears of %s.", codes(d.GetSubscriptions()))
	}
}

func nullable(_ string, s *jsonschema.Schema) string {
	if slices.Contains(s.Types, "null") {
		return "yes"
	}
	return ""
}
