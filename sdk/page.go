package sdk

import "github.com/google/jsonschema-go/jsonschema"

// PageLimit is how many items a list may return: 1 to 1000, default 100.
type PageLimit int

// JSONSchema describes the bounds.
func (PageLimit) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(1.0), Maximum: jsonschema.Ptr(1000.0), Default: []byte("100")}
}

// OrDefault is the limit, or 100 if none was given.
func (l PageLimit) OrDefault() int {
	if l == 0 {
		return 100
	}
	return int(l)
}
