package plan

import "github.com/keboola/duckdb-storage/sdk"

// Codes lists the problem types of this package.
func Codes() []sdk.Code { return append(Refusals(), errAnswer, ErrTransactionTime) }

// Refusals lists those of reads that get no place among the reads that run.
func Refusals() []sdk.Code { return []sdk.Code{smallRead.refusal, streaming.refusal} }
