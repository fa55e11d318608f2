package tables_test

import (
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func TestPreview(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(names, namesOf(orders())...)
	h.OnQuery(names, namesOf(orders())...)
	h.OnQuery(names, namesOf(stringTable())...)
	all := sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: ofOrders})
	some := sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: ofOrders, Columns: []string{"price", "id"}, Limit: ptr(5)})
	h.Accept = "text/csv"
	text := sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: ofOrders})
	sdktest.Golden(t, "preview", all, some, text)
}

func TestPreviewLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limit *int
		want  uint64 // 0 is refused
	}{
		{nil, 100}, {ptr(0), 100}, {ptr(1), 1}, {ptr(1000), 1000}, {ptr(1001), 0}, {ptr(-1), 0},
	} {
		h := sdktest.New(t, plugin())
		if tt.want > 0 {
			h.OnQuery(names, namesOf(orders())...)
		}
		x := sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: ofOrders, Limit: tt.limit})
		if tt.want == 0 {
			if !errors.Is(x.Err(), sdk.ErrInvalid) {
				t.Errorf("limit %d: %v, want invalid", *tt.limit, x.Err())
			}
			continue
		}
		if got := x.Result.GetRows().GetMaxRows(); got != tt.want {
			t.Errorf("limit %v gives %d rows, want %d", tt.limit, got, tt.want)
		}
	}
}
