package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Schemer is a type that describes itself. Without it a type's schema follows
// from its Go type; with it the type can add an enum, a pattern or bounds, or
// accept several shapes.
type Schemer interface {
	JSONSchema() *jsonschema.Schema
}

// Enum is the schema of a string that is one of the values.
func Enum(values ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}

// inputSchema returns the schema of a request type and its members that do not
// come from the body.
func inputSchema(t reflect.Type) ([]byte, []*pluginv1.Parameter, error) {
	if t.Kind() != reflect.Struct {
		return nil, nil, fmt.Errorf("%v is not a struct", t)
	}
	schema, err := marshalSchema(t)
	if err != nil {
		return nil, nil, err
	}
	var params []*pluginv1.Parameter
	for _, f := range reflect.VisibleFields(t) {
		in := f.Tag.Get("in")
		if in == "" || f.Anonymous {
			continue
		}
		location, ok := map[string]pluginv1.Location{
			"path":  pluginv1.Location_LOCATION_PATH,
			"query": pluginv1.Location_LOCATION_QUERY,
		}[in]
		if !ok {
			return nil, nil, fmt.Errorf(`field %s: in:%q is neither "path" nor "query"`, f.Name, in)
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			return nil, nil, fmt.Errorf("field %s: an in tag needs a json tag with the name of the parameter", f.Name)
		}
		params = append(params, &pluginv1.Parameter{Name: name, Location: location})
	}
	return schema, params, nil
}

// outputSchema returns the schema of a response type, or nil when the answer is
// not JSON.
func outputSchema(t reflect.Type) ([]byte, error) {
	if t == reflect.TypeFor[None]() || t == reflect.TypeFor[File]() || t == reflect.TypeFor[Job]() {
		return nil, nil
	}
	return marshalSchema(t)
}

func marshalSchema(t reflect.Type) ([]byte, error) {
	schema, err := schemaOf(t)
	if err != nil {
		return nil, err
	}
	return json.Marshal(schema)
}

// SchemaFor is the schema of a Go type, with every Schemer in it asked.
func SchemaFor[T any]() (*jsonschema.Schema, error) { return schemaOf(reflect.TypeFor[T]()) }

func schemaOf(t reflect.Type) (*jsonschema.Schema, error) {
	custom := map[reflect.Type]*jsonschema.Schema{}
	collectSchemers(t, custom, map[reflect.Type]bool{})
	return jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: custom})
}

// collectSchemers finds every type reachable from t that describes itself.
func collectSchemers(t reflect.Type, found map[reflect.Type]*jsonschema.Schema, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	if s, ok := reflect.Zero(t).Interface().(Schemer); ok && t.Kind() != reflect.Pointer {
		found[t] = s.JSONSchema()
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		collectSchemers(t.Elem(), found, seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() || f.Anonymous {
				collectSchemers(f.Type, found, seen)
			}
		}
	}
}
