package sdktest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Conform checks what every plugin owes the host.
//
// What it declares: names that are well formed and the plugin's own, a semantic
// version, schemas that compile, a summary and a permission for each command,
// parameters that its routes have, sdk.Writes where a plan or a method writes, needs,
// dependencies, hooks and events that fit together, settings whose defaults are
// valid, and the same declarations whenever the plugin is made.
//
// What it does: it refuses commands that it does not have and inputs that are no
// objects, reads every input that its schemas accept, panics at none, ends when the
// request has ended, and makes no callback afterwards. The inputs are made from the
// schemas, and the host of this test answers no callback well.
func Conform(t testing.TB, plugin func() *sdk.Plugin) {
	t.Helper()
	p := plugin()
	d := p.Describe()
	if !proto.Equal(d, plugin().Describe()) {
		t.Errorf("plugin %s describes itself differently each time", d.GetName())
	}
	for _, fault := range declarations(d) {
		t.Errorf("%s", fault)
	}
	settings(t, plugin(), d.GetConfigSchema())
	var log safeText
	p.SetLogger(hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}))
	host := newAdversary()
	b := &behaviour{t: t, plugin: inProcess{p, sdk.InProcess(host)}, host: host, log: log.String}
	b.behave(d)
}

// settings gives a plugin settings of every sort.
func settings(t testing.TB, p *sdk.Plugin, schema []byte) {
	t.Helper()
	if schema == nil {
		if p.Configure([]byte(`{"a":1}`)) == nil {
			t.Errorf("it declares no settings and takes some without an error")
		}
		return
	}
	in := payloadsFor(schema)
	for _, payload := range in.malformed[1:] { // without any it has its defaults
		if p.Configure([]byte(payload)) == nil {
			t.Errorf("the settings %.40q, which are no object, are taken without an error", payload)
		}
	}
	for _, payload := range slices.Concat(in.invalid, in.valid) {
		p.Configure([]byte(payload)) // a panic ends the test
	}
}

// inProcess is a plugin as a subject.
type inProcess struct {
	plugin *sdk.Plugin
	host   sdk.Host
}

func (p inProcess) Invoke(ctx context.Context, r *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return p.plugin.Invoke(ctx, p.host, r), nil
}

func (p inProcess) Before(ctx context.Context, r *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	return p.plugin.Before(ctx, p.host, r), nil
}

func (p inProcess) Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return p.plugin.Notify(ctx, p.host, r), nil
}

// safeText is a log that a test reads while it is written.
type safeText struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (s *safeText) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *safeText) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
