package main

import "context"

// benchmark is one line, or a few, of the report.
type benchmark struct {
	name string
	run  func(context.Context, *bench) error
}

// benchmarks are in the order in which they run: latencies first, on a file that
// was written once; those that start a service of their own last.
var benchmarks = []benchmark{
	{"health", health},
	{"preview", preview},
	{"preview-1000", previewMost},
	{"plugins", plugins},
	{"linked", linked},
	{"import-typed", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-typed", typed) }},
	{"import-strings", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-strings", texts) }},
	{"import-strings-default", importDefault},
	{"import-keyed", func(ctx context.Context, b *bench) error { return b.imports(ctx, "import-keyed", keyed) }},
	{"upload", upload},
	{"export-stream", exportStream},
	{"export-file", exportFile},
	{"export-gzip", exportGzip},
	{"parallel-imports", parallelImports},
	{"mixed", mixed},
	{"many-tables", manyTables},
	{"stream-csv", func(ctx context.Context, b *bench) error { return stream(ctx, b, "stream-csv", asCSV) }},
	{"stream-ndjson", func(ctx context.Context, b *bench) error { return stream(ctx, b, "stream-ndjson", asNDJSON) }},
	{"stream-parquet", func(ctx context.Context, b *bench) error { return stream(ctx, b, "stream-parquet", asParquet) }},
	{"stream-arrow", func(ctx context.Context, b *bench) error { return stream(ctx, b, "stream-arrow", asArrow) }},
}

func names() []string {
	out := make([]string, len(benchmarks))
	for i, b := range benchmarks {
		out[i] = b.name
	}
	return out
}
