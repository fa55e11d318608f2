package gate

import (
	"errors"
	"regexp"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
)

// advice is DuckDB's list of names that are like one that there is not. It looks for
// them in every catalog.
var advice = regexp.MustCompile(`\s*Did you mean "([^\n]*)"\??`)

// Discreet frees an error of what is not the project's: the names of other catalogs,
// and advice that names tables elsewhere.
func (n Names) Discreet(err error) error {
	var known *sdk.Error
	if !errors.As(err, &known) {
		return err
	}
	detail := known.Detail
	if m := advice.FindStringSubmatch(detail); m != nil && (len(n.Cell) > 0 || strings.Contains(m[1], sdk.MetadataPrefix)) {
		detail = strings.Replace(detail, m[0], "", 1)
	}
	for _, other := range n.Cell {
		for _, form := range []string{`"` + other + `".`, other + "."} {
			detail = strings.ReplaceAll(detail, form, "")
		}
		detail = strings.ReplaceAll(detail, other, "another project")
	}
	if detail == known.Detail {
		return err
	}
	out := *known
	out.Detail = detail
	return &out
}
