package httpapi

import (
	"cmp"
	"mime"
	"slices"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// produces lists the media types of each form, the default first.
func produces(form pluginv1.Form) []string {
	switch form {
	case pluginv1.Form_FORM_ROWS, pluginv1.Form_FORM_PLAN, pluginv1.Form_FORM_EXPORT:
		return []string{string(engine.JSON), string(engine.CSV), string(engine.NDJSON), string(engine.Parquet), string(engine.Arrow)}
	case pluginv1.Form_FORM_FILE:
		return []string{"application/octet-stream"}
	default:
		return []string{string(engine.JSON)}
	}
}

// negotiate picks the media type of the answer: the client's best-liked one of
// those that the form has (RFC 9110, 12.5.1), or the default when it has no wish.
func negotiate(form pluginv1.Form, accept string) (string, error) {
	offers := produces(form)
	if strings.TrimSpace(accept) == "" || form == pluginv1.Form_FORM_FILE {
		return offers[0], nil // a file has the type it was given
	}
	wishes := wishes(accept)
	for _, w := range wishes {
		for _, offer := range offers {
			if w.quality > 0 && matches(w.name, offer) {
				return offer, nil
			}
		}
	}
	return "", errAccept.Errorf("this route answers with %s", strings.Join(offers, ", "))
}

// wish is one of the values that a client takes, with how much it likes it.
type wish struct {
	name    string
	quality float64 // 0 is not at all
}

// wishes reads Accept or Accept-Encoding, the best-liked first.
func wishes(header string) []wish {
	var out []wish
	for part := range strings.SplitSeq(header, ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		out = append(out, wish{name, q})
	}
	slices.SortStableFunc(out, func(a, b wish) int { return cmp.Compare(b.quality, a.quality) })
	return out
}

// acceptsGzip reports whether a client names gzip among the encodings that it
// takes (RFC 9110, 12.5.3).
func acceptsGzip(acceptEncoding []string) bool {
	return slices.ContainsFunc(wishes(strings.Join(acceptEncoding, ",")), func(w wish) bool { return w.name == "gzip" && w.quality > 0 })
}

func matches(wish, offer string) bool {
	kind, _, _ := strings.Cut(offer, "/")
	return wish == offer || wish == "*/*" || wish == kind+"/*"
}
