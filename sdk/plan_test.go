package sdk_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// answered is what a handler that returns the plan sends to the host.
func answered(t *testing.T, plan sdk.Plan) *pluginv1.InvokeResponse {
	t.Helper()
	p := sdk.New("probe", "1.0.0")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, sdk.ReadFiles, sdk.WriteFiles)
	cmd := sdk.Command[struct{}, response]{Name: "probe.Run"}
	sdk.Handle(p, cmd, func(*sdk.Context, struct{}) (sdk.Plan, error) { return plan, nil }, sdk.Writes())
	return sdktest.Invoke(sdktest.New(t, p), cmd, struct{}{}).Result
}

func TestPlansOnTheWire(t *testing.T) {
	t.Parallel()
	one := &pluginv1.Statement{Sql: "SELECT 1"}
	for name, tt := range map[string]struct {
		plan sdk.Plan
		want *pluginv1.InvokeResponse
	}{
		"json": {sdk.JSON{Value: response{"x"}}, &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Json{Json: []byte(`{"text":"x"}`)}}},
		"short time": {sdk.Rows{Statement: sql.New("SELECT 1"), Timeout: time.Millisecond},
			&pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Rows{Rows: &pluginv1.Rows{Statement: one, TimeoutSeconds: 1, Head: []byte("null")}}}},
		"rows": {sdk.Rows{Statement: sql.New("SELECT 1"), MaxRows: 5, TypedColumns: true, ErrorsAreAnswers: true, Timeout: 90 * time.Second, Head: map[string]int{"a": 1}},
			&pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Rows{Rows: &pluginv1.Rows{
				Statement: one, MaxRows: 5, TypedColumns: true, ErrorsAreAnswers: true, TimeoutSeconds: 90, Head: []byte(`{"a":1}`)}}}},
		"rows without a head": {sdk.Rows{Statement: sql.New("SELECT 1")},
			&pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Rows{Rows: &pluginv1.Rows{Statement: one, Head: []byte("null")}}}},
		"file":   {sdk.File{ID: "7"}, &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_File{File: &pluginv1.FileBody{FileId: "7"}}}},
		"upload": {sdk.Upload{FileID: "7"}, &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Upload{Upload: &pluginv1.Upload{FileId: "7"}}}},
		"export": {sdk.Export{Statement: sql.New("SELECT 1"), Format: "csv", File: sdk.FileSpec{Name: "n", ContentType: "text/csv", Tags: []string{"a"}, Permanent: true, MaxAgeDays: 3, SizeBytes: 4}},
			&pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Export{Export: &pluginv1.Export{Statement: one, Format: "csv",
				File: &pluginv1.FileSpec{Name: "n", ContentType: "text/csv", Tags: []string{"a"}, Permanent: true, MaxAgeDays: 3, SizeBytes: 4}}}}},
		"empty unit": {sdk.Unit{}, &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Unit{Unit: &pluginv1.Unit{}}}},
		"unit": {sdk.Unit{
			Require: []sdk.Precondition{sdk.Expect(sql.New("SELECT 1"), sdk.ErrConflict.Errorf("no")), sdk.Refuse(sql.New("SELECT 1"), sdk.ErrConflict.Errorf("yes"))},
			Do:      []sql.Statement{sql.New("SELECT 1"), sql.New("DELETE FROM t WHERE a = ?", 5)},
			Answer:  sql.New("SELECT ?", sql.RowsAffected(1)),
		}, &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Unit{Unit: &pluginv1.Unit{
			Require: []*pluginv1.Precondition{
				{Statement: one, RowsExpected: true, Otherwise: sdk.ErrConflict.Errorf("no").Proto()}, {Statement: one, Otherwise: sdk.ErrConflict.Errorf("yes").Proto()},
			},
			Statements: []*pluginv1.Statement{one, {Sql: "DELETE FROM t WHERE a = ?", Args: []*pluginv1.Value{{Kind: &pluginv1.Value_Integer{Integer: 5}}}}},
			Answer:     &pluginv1.Statement{Sql: "SELECT ?", Args: []*pluginv1.Value{{Kind: &pluginv1.Value_RowsAffected{RowsAffected: 1}}}},
		}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, answered(t, tt.plan), protocmp.Transform()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestValuesOnTheWire(t *testing.T) {
	t.Parallel()
	got := answered(t, sdk.Rows{Statement: sql.New("SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?",
		nil, true, 1<<62, uint32(7), 1.5, "", []byte{0}, sql.RowsAffected(0), sql.Elapsed(2))})
	want := []*pluginv1.Value{
		{},
		{Kind: &pluginv1.Value_Boolean{Boolean: true}},
		{Kind: &pluginv1.Value_Integer{Integer: 1 << 62}},
		{Kind: &pluginv1.Value_Integer{Integer: 7}},
		{Kind: &pluginv1.Value_Number{Number: 1.5}},
		{Kind: &pluginv1.Value_Text{Text: ""}},
		{Kind: &pluginv1.Value_Blob{Blob: []byte{0}}},
		{Kind: &pluginv1.Value_RowsAffected{RowsAffected: 0}},
		{Kind: &pluginv1.Value_Elapsed{Elapsed: 2}},
	}
	if diff := cmp.Diff(want, got.GetRows().GetStatement().GetArgs(), protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What cannot be sent is a fault of the plugin and never half an answer.
func TestAnswerThatIsNoJSON(t *testing.T) {
	t.Parallel()
	for name, plan := range map[string]sdk.Plan{
		"json": sdk.JSON{Value: func() {}},
		"head": sdk.Rows{Head: make(chan int)},
	} {
		if resp := answered(t, plan); resp.GetError().GetCode() != sdk.ErrInternal.Slug {
			t.Errorf("%s: %v", name, resp)
		}
	}
}
