package sdk_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := error(sdk.ErrTableNotFound.Errorf("table %q does not exist", "t"))
	if err.Error() != `table "t" does not exist` {
		t.Errorf("the message is %q", err)
	}
	wrapped := fmt.Errorf("look at the table: %w", err)
	for _, e := range []error{err, wrapped, errors.Join(errors.New("x"), wrapped)} {
		if !errors.Is(e, sdk.ErrTableNotFound) {
			t.Errorf("%v is not table-not-found", e)
		}
		if errors.Is(e, sdk.ErrBucketNotFound) || errors.Is(e, sdk.ErrNotFound) {
			t.Errorf("%v is another code too", e)
		}
	}
	// Codes are the same by their slug: a plugin of another release may have another title.
	if !errors.Is(err, sdk.Code{Slug: "table-not-found", Title: "Gone"}) {
		t.Error("the title counts")
	}
	if sdk.ErrTableNotFound.Error() != "Table not found" {
		t.Errorf("a code as an error is %q", sdk.ErrTableNotFound.Error())
	}
}

// At, With and Retry make a new error: the first may be shared.
func TestErrorIsNotChanged(t *testing.T) {
	t.Parallel()
	first := sdk.ErrInvalid.Errorf("no")
	second := first.At("/a").With("table", "t").Retry()
	third := second.With("column", "c").At("/b")
	if diff := cmp.Diff(&sdk.Error{Code: sdk.ErrInvalid, Detail: "no"}, first); diff != "" {
		t.Errorf("the first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&sdk.Error{Code: sdk.ErrInvalid, Detail: "no", Pointer: "/a", Meta: map[string]string{"table": "t"}, Retryable: true}, second); diff != "" {
		t.Errorf("the second (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"table": "t", "column": "c"}, third.Meta); diff != "" || third.Pointer != "/b" {
		t.Errorf("the third at %s (-want +got):\n%s", third.Pointer, diff)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	again := map[sdk.Kind]bool{sdk.Exhausted: true, sdk.Unavailable: true, sdk.Timeout: true}
	for kind := sdk.Malformed; kind <= sdk.Internal; kind++ {
		if got := (sdk.Code{Kind: kind}).Errorf("").Retryable; got != again[kind] {
			t.Errorf("kind %d: retryable %v", kind, got)
		}
	}
}

func TestErrorOnTheWire(t *testing.T) {
	t.Parallel()
	if sdk.ErrorFromProto(nil) != nil || (*sdk.Error)(nil).Proto() != nil {
		t.Error("no error is one")
	}
	for _, want := range []*sdk.Error{
		{},
		sdk.ErrTableNotFound.Errorf("table %q", "字\"").At("/a~1b").With("table", "t").With("bucket", "").Retry(),
	} {
		raw, err := proto.Marshal(want.Proto())
		if err != nil {
			t.Fatal(err)
		}
		var wire pluginv1.Error
		if err := proto.Unmarshal(raw, &wire); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(error(want), sdk.ErrorFromProto(&wire)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// The kinds go over the wire as numbers.
func TestKindsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	for kind, name := range map[sdk.Kind]string{
		sdk.Malformed: "KIND_MALFORMED", sdk.Invalid: "KIND_INVALID", sdk.Unauthenticated: "KIND_UNAUTHENTICATED", sdk.Denied: "KIND_DENIED",
		sdk.NotFound: "KIND_NOT_FOUND", sdk.Exists: "KIND_EXISTS", sdk.Conflict: "KIND_CONFLICT", sdk.TooLarge: "KIND_TOO_LARGE",
		sdk.Exhausted: "KIND_EXHAUSTED", sdk.Unsupported: "KIND_UNSUPPORTED", sdk.BadGateway: "KIND_BAD_GATEWAY",
		sdk.Unavailable: "KIND_UNAVAILABLE", sdk.Timeout: "KIND_TIMEOUT", sdk.Internal: "KIND_INTERNAL",
	} {
		if pluginv1.Kind_name[int32(kind)] != name {
			t.Errorf("kind %d is %s in the contract, want %s", kind, pluginv1.Kind_name[int32(kind)], name)
		}
	}
	if len(pluginv1.Kind_name) != int(sdk.Internal)+1 {
		t.Errorf("the contract has %d kinds", len(pluginv1.Kind_name))
	}
}
