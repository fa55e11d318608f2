package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// object is a JSON object of the API document.
type object = map[string]any

// openAPI assembles an OpenAPI 3.1 document from what the plugins declare.
func openAPI(t *pluginhost.Table, version string) ([]byte, error) {
	paths := map[string]object{}
	for _, r := range routes(t) {
		operation, err := operation(r)
		if err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", r.method, r.path, err)
		}
		if paths[r.path] == nil {
			paths[r.path] = object{}
		}
		paths[r.path][strings.ToLower(r.method)] = operation
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info":    object{"title": "DuckDB Storage", "version": version},
		"paths":   paths,
		"components": object{
			"securitySchemes": object{"key": object{"type": "http", "scheme": "bearer"}},
			"schemas":         object{"Problem": problemSchema()},
			"responses": object{"Problem": object{
				"description": "What went wrong and what to do.",
				"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}},
			}},
		},
		"security": []object{{"key": []string{}}},
	}, "", " ")
}

var pathVariable = regexp.MustCompile(`\{([^}]*)\}`)

func operation(r route) (object, error) {
	var input object
	if err := json.Unmarshal(r.command.GetInputSchema(), &input); err != nil {
		return nil, err
	}
	properties, _ := input["properties"].(object)
	parameters := []object{}
	inPath := map[string]bool{}
	for _, m := range pathVariable.FindAllStringSubmatch(r.path, -1) {
		inPath[m[1]] = true
		schema := properties[m[1]]
		if schema == nil {
			schema = object{"type": "string"}
		}
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": schema})
	}
	for _, p := range r.command.GetParameters() {
		if p.GetLocation() == pluginv1.Location_LOCATION_QUERY {
			parameters = append(parameters, object{"name": p.GetName(), "in": "query", "schema": properties[p.GetName()]})
		}
		if !bodyTakes(r.method, p.GetLocation()) {
			delete(properties, p.GetName())
		}
	}
	out := object{
		"operationId": operationID(r),
		"summary":     r.command.GetSummary(),
		"tags":        []string{r.command.Plugin},
		"parameters":  parameters,
		"x-command":   r.command.GetName(), "x-permission": r.command.GetPermission(),
		"responses": object{
			fmt.Sprint(r.status): success(r),
			"default":            object{"$ref": "#/components/responses/Problem"},
		},
	}
	if body := requestBody(r, input, properties); body != nil {
		out["requestBody"] = body
	}
	return out, nil
}

// operationID is unique: one command may have several routes.
func operationID(r route) string {
	return r.command.GetName() + ":" + r.method + ":" + r.path
}

// requestBody is what is left of the input without its parameters.
func requestBody(r route, input, properties object) object {
	if r.command.GetForm() == pluginv1.Form_FORM_UPLOAD {
		return object{"required": true, "content": object{"application/octet-stream": object{"schema": object{"type": "string", "format": "binary"}}}}
	}
	if len(properties) == 0 {
		return nil
	}
	if required, ok := input["required"].([]any); ok {
		kept := slices.DeleteFunc(required, func(name any) bool { _, inBody := properties[name.(string)]; return !inBody })
		input["required"] = kept
	}
	return object{"content": object{"application/json": object{"schema": input}}}
}

func success(r route) object {
	out := object{"description": "Done."}
	content := object{}
	for _, mediaType := range produces(r.command.GetForm()) {
		content[mediaType] = object{}
	}
	if schema := r.command.GetOutputSchema(); len(schema) > 0 && content[string(engine.JSON)] != nil {
		content[string(engine.JSON)] = object{"schema": json.RawMessage(schema)}
	}
	if r.status != 204 {
		out["content"] = content
	}
	return out
}

func problemSchema() object {
	texts := object{}
	for _, name := range []string{"type", "title", "detail", "instance", "requestId"} {
		texts[name] = object{"type": "string"}
	}
	maps.Copy(texts, object{
		"status":    object{"type": "integer"},
		"code":      object{"type": "integer", "description": "Keboola's driver code"},
		"retryable": object{"type": "boolean", "description": "the same request may succeed later"},
		"errors": object{"type": "array", "items": object{"type": "object", "properties": object{
			"pointer": object{"type": "string"}, "detail": object{"type": "string"}}}},
		"context": object{"type": "object", "additionalProperties": object{"type": "string"}},
	})
	return object{"type": "object", "properties": texts, "required": slices.Sorted(maps.Keys(texts))}
}
