package engine

/*
#include <stdint.h>
#include <stdlib.h>

// Arrow's C data interface, as its specification has it.
struct ArrowSchema {
	const char *format;
	const char *name;
	const char *metadata;
	int64_t flags;
	int64_t n_children;
	struct ArrowSchema **children;
	struct ArrowSchema *dictionary;
	void (*release)(struct ArrowSchema *);
	void *private_data;
};

struct ArrowArray {
	int64_t length;
	int64_t null_count;
	int64_t offset;
	int64_t n_buffers;
	int64_t n_children;
	const void **buffers;
	struct ArrowArray **children;
	struct ArrowArray *dictionary;
	void (*release)(struct ArrowArray *);
	void *private_data;
};

// Of DuckDB's C API, whose handles are pointers.
extern void *duckdb_to_arrow_schema(void *options, void **types, const char **names, uint64_t columns, struct ArrowSchema *out);
extern void *duckdb_data_chunk_to_arrow(void *options, void *chunk, struct ArrowArray *out);
*/
import "C"

import (
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/cdata"
	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2"
)

// arrowSchema is the Arrow schema of a result. A name may come twice.
//
// The driver has this function and the next behind a build tag, which every build
// and every test of this module would then have to give.
func arrowSchema(options bindings.ArrowOptions, result *bindings.Result) (*arrow.Schema, error) {
	n := bindings.ColumnCount(result)
	size := C.size_t(n) * C.size_t(unsafe.Sizeof(unsafe.Pointer(nil)))
	types, names := C.malloc(size), C.malloc(size)
	defer C.free(types)
	defer C.free(names)
	for i := range n {
		columnType := bindings.ColumnLogicalType(result, i)
		defer bindings.DestroyLogicalType(&columnType)
		name := C.CString(bindings.ColumnName(result, i))
		defer C.free(unsafe.Pointer(name))
		unsafe.Slice((*unsafe.Pointer)(types), n)[i] = columnType.Ptr
		unsafe.Slice((**C.char)(names), n)[i] = name
	}
	var schema C.struct_ArrowSchema
	imported := (*cdata.CArrowSchema)(unsafe.Pointer(&schema))
	defer cdata.ReleaseCArrowSchema(imported) // what the import did not take
	failed := C.duckdb_to_arrow_schema(options.Ptr, (*unsafe.Pointer)(types), (**C.char)(names), C.uint64_t(n), &schema)
	if err := takeError(failed); err != nil {
		return nil, err
	}
	return cdata.ImportCArrowSchema(imported)
}

// arrowBatch turns a chunk of a result into a record batch, to be released. The
// batch does not need the chunk any more.
func arrowBatch(options bindings.ArrowOptions, schema *arrow.Schema, chunk bindings.DataChunk) (arrow.RecordBatch, error) {
	var array C.struct_ArrowArray
	imported := (*cdata.CArrowArray)(unsafe.Pointer(&array))
	defer cdata.ReleaseCArrowArray(imported) // what the import did not take
	failed := C.duckdb_data_chunk_to_arrow(options.Ptr, chunk.Ptr, &array)
	if err := takeError(failed); err != nil {
		return nil, err
	}
	return cdata.ImportCRecordBatchWithSchema(imported, schema)
}

// takeError frees DuckDB's error data and returns what it says.
func takeError(data unsafe.Pointer) error {
	e := bindings.ErrorData{Ptr: data}
	defer bindings.DestroyErrorData(&e)
	if !bindings.ErrorDataHasError(e) {
		return nil
	}
	return &duckdb.Error{Type: duckdb.ErrorType(bindings.ErrorDataErrorType(e)), Msg: bindings.ErrorDataMessage(e)}
}
