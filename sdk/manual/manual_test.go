package manual_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/manual"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

type request struct {
	Bucket sdk.Name `json:"bucket" in:"path" jsonschema:"as it is | verbatim"`
	Limit  *int     `json:"limit,omitempty" in:"query"`
	Tags   []string `json:"tags"`
}

type fact struct {
	Bucket string  `json:"bucket"`
	Reason *string `json:"reason" jsonschema:"why, if it is known"`
}

type options struct {
	Days int `json:"days,omitempty" jsonschema:"how long"`
}

// rich declares one of everything.
func rich() *pluginv1.DescribeResponse {
	p := sdk.New("probe", "1.2.3")
	p.Summary("Looks at things.")
	p.Needs(sdk.ReadSQL, "tables:write")
	p.NeedsFeature(sdk.FeatureJobs)
	p.Requires("tables", ">= 0.1")
	p.WorksWith("files", "")
	sdk.Config(p, options{Days: 7})
	run := sdk.Command[request, sdk.None]{Name: "probe.Run", Summary: "Run it."}
	sdk.Handle(p, run, func(*sdk.Context, request) (sdk.Unit, error) { return sdk.Unit{}, nil },
		sdk.POST(sdk.Catalog+"/x/probe/{bucket}"), sdk.POST("/probes/{bucket}"),
		sdk.POST(sdk.Catalog+"/buckets/{bucket}/probe"), sdk.POST("/projects/{project}/probes/{bucket}"), sdk.POST("/projects/{project}/x/probe/again/{bucket}"), sdk.Permission("probe:write"), sdk.Writes(),
		sdk.Fails(sdk.Code{Slug: "probe-lost", Title: "Lost", Kind: sdk.NotFound, Driver: 2000}))
	sdk.Handle(p, sdk.Command[options, options]{Name: "probe.Show", Summary: "Show it."},
		func(*sdk.Context, options) (options, error) { return options{}, nil }, sdk.Permission("probe:read"))
	happened := sdk.Event[fact]{Name: "probe.Happened", Summary: "It happened."}
	sdk.Emits(p, happened)
	sdk.Before(p, sdk.Command[request, sdk.None]{Name: "tables.Drop"}, func(*sdk.Context, request) error { return nil }, sdk.FailOpen(),
		sdk.Refuses(sdk.Code{Slug: "probe-kept", Title: "Kept", Kind: sdk.Conflict, Driver: 3000}))
	sdk.After(p, happened, func(*sdk.Context, sdk.Notice[fact]) error { return nil })
	return p.Describe()
}

type text string

func (t text) String() string { return string(t) }

func TestTexts(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]*pluginv1.DescribeResponse{
		"rich": rich(),
		"bare": {Name: "bare", Version: "0.1.0"},
	} {
		sdktest.Golden(t, name, text(manual.Usage(d)), text(manual.Markdown(d)))
	}
}

// What a program reads is all of it, and the same each time.
func TestJSON(t *testing.T) {
	t.Parallel()
	var texts []string
	for range 5 {
		raw, err := manual.JSON(rich())
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(raw))
	}
	for _, other := range texts {
		if other != texts[0] {
			t.Fatalf("two texts of one plugin:\n%s\n%s", texts[0], other)
		}
	}
	got := &pluginv1.DescribeResponse{}
	if err := protojson.Unmarshal([]byte(texts[0]), got); err != nil || !proto.Equal(got, rich()) {
		t.Errorf("the JSON is not what the plugin declares: %v\n%s", err, texts[0])
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	if got := manual.Configuration(&pluginv1.DescribeResponse{Name: "bare"}); got != "" {
		t.Errorf("a plugin that needs nothing wants %q", got)
	}
	want := fmt.Sprintf("plugins:\n  probe:\n    grants: [%q, %q]\n    routes: [%q, %q, %q]\n",
		"sql:read", "tables:write", "/probes", "{catalog}/buckets", "/projects/{project}/probes")
	if got := manual.Configuration(rich()); got != want {
		t.Errorf("the configuration is\n%s\nwant\n%s", got, want)
	}
}
