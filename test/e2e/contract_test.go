package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// contract is the API document of a running service, against which the answers of
// every journey are checked.
type contract struct {
	service  *service.Service
	document map[string]any
}

// fetchContract reads the document of a service.
func fetchContract(s *service.Service) (*contract, error) {
	var raw bytes.Buffer
	if _, err := s.Admin().Do(context.Background(), http.MethodGet, "/openapi.json", nil, &raw); err != nil {
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(&raw)
	if err != nil {
		return nil, err
	}
	return &contract{s, doc.(map[string]any)}, nil
}

// keeps tells how an answer differs from what the document says of its route.
func (c *contract) keeps(method string, a *answer) error {
	if a.status == http.StatusMethodNotAllowed || method == http.MethodHead {
		return nil // said of all routes together
	}
	template := c.route(method, a.path)
	if template == "" {
		if a.status < 400 {
			return fmt.Errorf("%s answers %d and is not in the API document", a.request, a.status)
		}
		return nil
	}
	at := []string{"paths", template, strings.ToLower(method)}
	answer := append(slices.Clone(at), "responses", strconv.Itoa(a.status))
	if ref, ok := c.find(append(answer, "$ref")...).(string); ok {
		answer = strings.Split(strings.TrimPrefix(ref, "#/"), "/")
	}
	if c.find(answer...) == nil {
		return fmt.Errorf("%s answers %d, which the API document does not say", a.request, a.status)
	}
	mediaType, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	switch {
	case mediaType == "application/problem+json":
		if fault := c.knows(a, at); fault != nil {
			return fault
		}
	case len(a.body) == 0, a.header.Get("Preference-Applied") == "return=plan":
		return nil
	}
	return c.fits(a, mediaType, append(answer, "content"))
}

// knows checks the type of a problem.
func (c *contract) knows(a *answer, operation []string) error {
	p, err := a.readProblem()
	if err != nil {
		return err
	}
	slug := strings.TrimPrefix(p.Type, "/problems/")
	types, _ := c.find(append(operation, "x-problems")...).([]any)
	if !slices.Contains(types, any(slug)) {
		return fmt.Errorf("%s answers with the problem %s, which the API document does not say: %s", a.request, slug, p.Detail)
	}
	return nil
}

// fits checks the body of an answer.
func (c *contract) fits(a *answer, mediaType string, content []string) error {
	said, _ := c.find(content...).(map[string]any)
	for name := range said {
		base, _, err := mime.ParseMediaType(name)
		if err != nil {
			return err
		}
		if base == "*/*" {
			return nil
		}
		if base != mediaType {
			continue
		}
		if !strings.HasSuffix(base, "json") || c.find(append(content, name, "schema")...) == nil {
			return nil
		}
		return c.validate(a, append(content, name, "schema"))
	}
	return fmt.Errorf("%s answers %d with %s, which the API document does not say", a.request, a.status, mediaType)
}

func (c *contract) validate(a *answer, schema []string) error {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("openapi.json", c.document); err != nil {
		return err
	}
	var pointer strings.Builder
	for _, step := range schema {
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(step))
	}
	compiled, err := compiler.Compile("openapi.json#" + pointer.String())
	if err != nil {
		return err
	}
	body, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	if err == nil {
		err = compiled.Validate(body)
	}
	if err != nil {
		return fmt.Errorf("%s answers otherwise than the API document says: %w: %s", a.request, err, a.body)
	}
	return nil
}

// route is the template of a path, the one with the fewest parameters.
func (c *contract) route(method, path string) string {
	paths, _ := c.document["paths"].(map[string]any)
	best := ""
	for template, methods := range paths {
		_, has := methods.(map[string]any)[strings.ToLower(method)]
		if has && covers(template, path) && (best == "" || strings.Count(template, "{") < strings.Count(best, "{")) {
			best = template
		}
	}
	return best
}

func covers(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return len(want) == len(got) && !slices.ContainsFunc(want, func(s string) bool {
		i := slices.Index(want, s)
		return s != got[i] && (!strings.HasPrefix(s, "{") || got[i] == "")
	})
}

// find follows steps into the document.
func (c *contract) find(steps ...string) any {
	var at any = c.document
	for _, step := range steps {
		members, _ := at.(map[string]any)
		at = members[step]
	}
	return at
}

// kept checks an answer against the document of the service that gave it. The
// document is read again when a reload may have changed it.
func (j *journey) kept(method string, a *answer) error {
	if j.contract == nil || j.contract.service != j.service {
		c, err := fetchContract(j.service)
		if err != nil {
			return err
		}
		j.contract = c
	}
	fault := j.contract.keeps(method, a)
	if fault == nil {
		return nil
	}
	fresh, err := fetchContract(j.service)
	if err != nil {
		return errors.Join(fault, err)
	}
	j.contract = fresh
	return fresh.keeps(method, a)
}
