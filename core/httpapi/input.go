package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// maxBodyBytes bounds a JSON body. Bytes of files have their own way.
const maxBodyBytes = 8 << 20

// pathVariables decodes the names in a path, which are percent-encoded.
func pathVariables(encoded map[string]string) (map[string]string, error) {
	out := make(map[string]string, len(encoded))
	for name, value := range encoded {
		plain, err := url.PathUnescape(value)
		if err != nil {
			return nil, sdk.ErrMalformed.Errorf("the path has a wrong percent-encoding in %q", value)
		}
		out[name] = plain
	}
	return out, nil
}

// input makes the payload of a command from the path, the query and the body.
func input(c *pluginhost.Command, vars map[string]string, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if c.GetForm() != pluginv1.Form_FORM_UPLOAD { // there the body is the file
		if err := body(members, w, r); err != nil {
			return nil, err
		}
	}
	declared := map[string]pluginv1.Location{}
	for _, p := range c.GetParameters() {
		declared[p.GetName()] = p.GetLocation()
		if _, inBody := members[p.GetName()]; inBody && !bodyTakes(r.Method, p.GetLocation()) {
			return nil, sdk.ErrMalformed.Errorf("%q does not belong into the body", p.GetName()).At("/" + p.GetName())
		}
	}
	for name, value := range vars {
		if declared[name] == pluginv1.Location_LOCATION_PATH {
			members[name] = text(value)
		}
	}
	for name, values := range r.URL.Query() {
		if declared[name] != pluginv1.Location_LOCATION_QUERY {
			return nil, sdk.ErrMalformed.Errorf("unknown query parameter %q", name).At("/" + name)
		}
		if _, twice := members[name]; twice {
			return nil, sdk.ErrMalformed.Errorf("%q is given in the query and in the body", name).At("/" + name)
		}
		value, err := queryValue(c.ParameterType(name), values)
		if err != nil {
			return nil, sdk.ErrMalformed.Errorf("query parameter %s: %v", name, err).At("/" + name)
		}
		members[name] = value
	}
	return json.Marshal(members)
}

// body reads a JSON object; no body is an empty object.
func body(members map[string]json.RawMessage, w http.ResponseWriter, r *http.Request) error {
	if mediaType := r.Header.Get("Content-Type"); mediaType != "" && r.ContentLength != 0 {
		// curl -d says it is a form; that the body is JSON is checked below.
		got, _, err := mime.ParseMediaType(mediaType)
		if err != nil || got != "application/json" && got != "application/x-www-form-urlencoded" {
			return errMediaType.Errorf("this route takes application/json, not %s", mediaType)
		}
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return sdk.ErrTooLarge.Errorf("the body is over %d bytes", maxBodyBytes)
	}
	if err != nil {
		return sdk.ErrMalformed.Errorf("the body could not be read: %v", err)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, &members); err != nil {
		return sdk.ErrMalformed.Errorf("the body must be a JSON object: %v", err)
	}
	return nil
}

// queryValue gives a query parameter the JSON type that its schema asks for.
func queryValue(jsonType string, values []string) (json.RawMessage, error) {
	if jsonType == "array" {
		var items []string
		for _, v := range values {
			items = append(items, strings.Split(v, ",")...)
		}
		return json.Marshal(items)
	}
	if len(values) > 1 {
		return nil, errors.New("is given more than once")
	}
	switch v := values[0]; jsonType {
	case "integer":
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, errors.New(strconv.Quote(v) + " is not an integer")
		}
		return json.RawMessage(strconv.FormatInt(n, 10)), nil // +5 and 007 are no JSON
	case "boolean":
		if v != "true" && v != "false" {
			return nil, errors.New(strconv.Quote(v) + " is neither true nor false")
		}
		return json.RawMessage(v), nil
	default:
		return text(v), nil
	}
}

func text(s string) json.RawMessage {
	out, _ := json.Marshal(s) // a string always marshals
	return out
}

// bodyTakes reports whether a parameter may stand in the body: where a request
// has a body, what a GET says in its query may be said there.
func bodyTakes(method string, l pluginv1.Location) bool {
	return l == pluginv1.Location_LOCATION_QUERY && (method == http.MethodPost || method == http.MethodPut)
}
