package httpapi

import (
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
	case pluginv1.Form_FORM_ROWS, pluginv1.Form_FORM_PLAN:
		return []string{string(engine.JSON), string(engine.CSV), string(engine.NDJSON), string(engine.Parquet)}
	case pluginv1.Form_FORM_EXPORT:
		return []string{string(engine.JSON), string(engine.CSV)}
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
	type wish struct {
		mediaType string
		quality   float64
	}
	var wishes []wish
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		q := 1.0
		if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
			q = v
		}
		wishes = append(wishes, wish{mediaType, q})
	}
	slices.SortStableFunc(wishes, func(a, b wish) int {
		switch {
		case a.quality > b.quality:
			return -1
		case a.quality < b.quality:
			return 1
		}
		return 0
	})
	for _, w := range wishes {
		for _, offer := range offers {
			if w.quality > 0 && matches(w.mediaType, offer) {
				return offer, nil
			}
		}
	}
	return "", errAccept.Errorf("this route answers with %s", strings.Join(offers, ", "))
}

func matches(wish, offer string) bool {
	kind, _, _ := strings.Cut(offer, "/")
	return wish == offer || wish == "*/*" || wish == kind+"/*"
}
