package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/google/jsonschema-go/jsonschema"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Settings are what the operator set for the plugin. Make them with Config.
type Settings[T any] struct{ value atomic.Pointer[T] }

// Get returns the settings: the defaults until the host has configured the process,
// which is before the first command.
func (s *Settings[T]) Get() T { return *s.value.Load() }

// Config declares the settings of a plugin: what its operator writes below
// plugins.<name>.config. T is a struct; as in a request, a member is required unless
// its json tag has omitempty, and unknown ones are refused. Members that are not set
// keep their value of defaults.
//
// The host checks the settings against the schema of T before the plugin gets them.
// What no schema can say, a method of T does: Validate() error. New settings come
// with a new process, so they never change while a command runs.
func Config[T any](p *Plugin, defaults T) *Settings[T] {
	schema, err := configSchema(defaults)
	if err != nil {
		panic(fmt.Sprintf("sdk: settings of plugin %s: %v", p.description.GetName(), err))
	}
	if p.configure != nil {
		panic("sdk: plugin " + p.description.GetName() + " declares its settings twice")
	}
	s := &Settings[T]{}
	s.value.Store(&defaults)
	p.description.ConfigSchema = schema
	p.configure = func(config []byte) error {
		value, err := over(defaults, config)
		if err != nil {
			return err
		}
		if v, ok := any(value).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				return err
			}
		}
		s.value.Store(&value)
		return nil
	}
	return s
}

// over returns the defaults with what the config sets. A list, a map or a pointer
// that it sets is new: encoding/json would fill the default's own, and leave in it
// what the config does not name.
func over[T any](defaults T, config []byte) (T, error) {
	value := defaults
	if len(config) == 0 {
		return value, nil
	}
	var set T
	if err := decodeStrictly(config, &set); err != nil {
		return value, err
	}
	clearSet(reflect.ValueOf(&value).Elem(), reflect.ValueOf(set))
	return value, decodeStrictly(config, &value)
}

func decodeStrictly(config []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(config))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// clearSet empties the lists, maps and pointers of a struct that are set in another.
func clearSet(value, set reflect.Value) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			if value.Field(i).CanSet() {
				clearSet(value.Field(i), set.Field(i))
			}
		}
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		if !set.IsNil() {
			value.SetZero()
		}
	}
}

// configSchema is the schema of the settings, with their defaults.
func configSchema[T any](defaults T) ([]byte, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%v is not a struct", t)
	}
	schema, err := schemaOf(t)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(defaults)
	if err != nil {
		return nil, err
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, err
	}
	for name, value := range values {
		if property := schema.Properties[name]; property != nil && !required(schema, name) {
			property.Default = value
		}
	}
	return json.Marshal(schema)
}

func required(schema *jsonschema.Schema, name string) bool {
	for _, r := range schema.Required {
		if r == name {
			return true
		}
	}
	return false
}

// Configure takes the settings of the operator, a JSON object or nothing, or says
// what is wrong with them.
func (p *Plugin) Configure(config []byte) *pluginv1.Error {
	if p.configure == nil {
		if len(config) > 0 {
			return ErrInvalid.Errorf("plugin %s has no settings", p.description.GetName()).Proto()
		}
		return nil
	}
	if err := p.configure(config); err != nil {
		return ErrInvalid.Errorf("plugin %s refuses its settings: %v", p.description.GetName(), err).Proto()
	}
	return nil
}
