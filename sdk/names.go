package sdk

import (
	"regexp"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Name is the name of a bucket, table or column: 1 to 255 characters, any
// printable Unicode, never / or a control character. Names are kept verbatim.
// DuckDB keeps the case of a name but ignores it when it looks one up.
type Name string

// JSONSchema describes the allowed characters and length.
func (Name) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{
		Type: "string", MinLength: jsonschema.Ptr(1), MaxLength: jsonschema.Ptr(255), Pattern: `^[^/\x00-\x1f\x7f]*$`,
	}
}

// MetadataPrefix starts the names of schemas that belong to the service.
const MetadataPrefix = "__"

var (
	reservedSchemas = map[string]bool{"information_schema": true, "pg_catalog": true, "main": true, "temp": true, "system": true, "memory": true}
	// A schema that is called like an attached catalog would be ambiguous.
	catalogAlias = regexp.MustCompile(`(?i)^project_[a-z0-9_-]+_(main|branch_[a-z0-9_-]+)$`)
)

// CheckBucket returns ErrReservedName if no bucket may have the name.
func (n Name) CheckBucket() error {
	s := string(n)
	if strings.HasPrefix(s, MetadataPrefix) || reservedSchemas[strings.ToLower(s)] || catalogAlias.MatchString(s) {
		return ErrReservedName.Errorf("bucket name %q is reserved by the service", s).At("/name")
	}
	return nil
}
