package httpapi

import (
	"bytes"
	"encoding/json"
)

// object is a JSON object of the API document that has no type here: a schema.
type object = map[string]any

// document is as much of OpenAPI 3.1 as the API needs. It is marshalled as it is;
// /docs shows the same values to people.
type document struct {
	OpenAPI    string                           `json:"openapi"`
	Info       info                             `json:"info"`
	Tags       []tag                            `json:"tags"`
	Paths      map[string]map[string]*operation `json:"paths"` // by path and method in lower case
	Components components                       `json:"components"`
	Security   []requirement                    `json:"security"`
	// Problems are all types of problems, by slug.
	Problems map[string]problemType `json:"x-problems"`
	// Events are what plugins may tell other plugins, by name.
	Events map[string]event `json:"x-events"`
}

type info struct {
	Title       string `json:"title"`
	Version     string `json:"version"`
	Description string `json:"description"`
}

// tag is a plugin, or the service itself.
type tag struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// event is a fact that a plugin emits once it is committed.
type event struct {
	Plugin  string `json:"plugin"`
	Summary string `json:"summary,omitempty"`
	Schema  any    `json:"schema,omitempty"`
}

type components struct {
	Schemas         map[string]any            `json:"schemas"`
	Parameters      map[string]parameter      `json:"parameters"`
	Headers         map[string]header         `json:"headers"`
	Responses       map[string]*response      `json:"responses"`
	SecuritySchemes map[string]securityScheme `json:"securitySchemes"`
}

type securityScheme struct {
	Type        string `json:"type"`
	Scheme      string `json:"scheme"`
	Description string `json:"description"`
}

// requirement names the scheme of a key that opens an operation; several are
// alternatives.
type requirement map[string][]string

// operation is a method of a path.
type operation struct {
	ID          string               `json:"operationId"`
	Summary     string               `json:"summary,omitempty"`
	Description string               `json:"description,omitempty"`
	Tags        []string             `json:"tags"`
	Parameters  []parameter          `json:"parameters,omitempty"`
	Body        *requestBody         `json:"requestBody,omitempty"`
	Responses   map[string]*response `json:"responses"` // by status
	// Security is empty, and not nil, for what needs no key.
	Security *[]requirement `json:"security,omitempty"`
	// Command, Permission and Effect (read or write) are empty for what is no command.
	Command    string `json:"x-command,omitempty"`
	Permission string `json:"x-permission,omitempty"`
	Effect     string `json:"x-effect,omitempty"`
	// Problems are the slugs of what it may answer with.
	Problems []string `json:"x-problems,omitempty"`
}

// parameter is a parameter or, with Ref alone, a reference to one.
type parameter struct {
	Ref         string `json:"$ref,omitempty"`
	Name        string `json:"name,omitempty"`
	In          string `json:"in,omitempty"`
	Description string `json:"description,omitempty"`
	Required    bool   `json:"required,omitempty"`
	Schema      any    `json:"schema,omitempty"`
}

type header struct {
	Ref         string `json:"$ref,omitempty"`
	Description string `json:"description,omitempty"`
	Schema      any    `json:"schema,omitempty"`
}

type requestBody struct {
	Description string               `json:"description,omitempty"`
	Required    bool                 `json:"required,omitempty"`
	Content     map[string]mediaType `json:"content"`
}

// response is an answer or, with Ref alone, a reference to one.
type response struct {
	Ref         string               `json:"$ref,omitempty"`
	Description string               `json:"description,omitempty"`
	Headers     map[string]header    `json:"headers,omitempty"`
	Content     map[string]mediaType `json:"content,omitempty"`
}

// mediaType has no schema where the bytes are no JSON.
type mediaType struct {
	Schema any `json:"schema,omitempty"`
}

// clone copies a schema, so that it can be changed. What is no JSON becomes the
// schema that takes everything: the faults of one plugin must not take the document
// from the others.
func clone(schema []byte) any {
	var out any
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber() // a float64 would change large integers
	if err := d.Decode(&out); err != nil {
		return object{}
	}
	switch out.(type) {
	case object, bool:
		return out
	}
	return object{}
}
