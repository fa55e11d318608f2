package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// keyHeader makes a request one that happens once, however often it is sent.
const keyHeader = "Idempotency-Key"

// maxKeyBytes bounds a key.
const maxKeyBytes = 255

// idempotencyKey reads the header; empty is a request without it.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values(keyHeader)
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	printable := !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' })
	if len(values) > 1 || key == "" || len(key) > maxKeyBytes || !printable {
		return "", sdk.ErrMalformed.Errorf("%s must be given once, with 1 to %d printable ASCII characters", keyHeader, maxKeyBytes)
	}
	return key, nil
}

// keyOf is how a key is called in the whole service: keys of two callers have nothing
// to do with each other.
func keyOf(call pluginhost.Call, key string) string {
	return digest(call.Principal.Subject, call.Principal.Project, key)
}

// fingerprint tells whether two requests ask for the same. The bytes of an upload do
// not count, because they would have to be received to be compared: only what the
// client says about them.
func fingerprint(r *http.Request, form pluginv1.Form, call pluginhost.Call) (string, error) {
	body, err := canonicalJSON(call.Payload)
	if err != nil {
		return "", err
	}
	parts := []string{r.Method, canonicalPath(r.URL), r.URL.Query().Encode(), call.Accept, body}
	if form == pluginv1.Form_FORM_UPLOAD {
		parts = append(parts, strconv.FormatInt(r.ContentLength, 10))
		for _, name := range []string{"Content-MD5", "Digest", "Content-Range"} {
			parts = append(parts, r.Header.Get(name))
		}
	}
	return digest(parts...), nil
}

// digest is the SHA-256 of texts, of which none can run into the next.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// canonicalPath is the same for every way to encode a path.
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			segments[i] = url.PathEscape(plain)
		}
	}
	return strings.Join(segments, "/")
}

// canonicalJSON is the same for every order of members and every use of space.
// Numbers keep their text: 1 and 1.0 differ.
func canonicalJSON(raw []byte) (string, error) {
	var value any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return "", err
	}
	out, err := json.Marshal(value)
	return string(out), err
}
