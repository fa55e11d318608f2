package registry

import "github.com/keboola/duckdb-storage/sdk"

// Codes lists the problem types of this package.
func Codes() []sdk.Code { return []sdk.Code{ErrKeyNotFound} }
