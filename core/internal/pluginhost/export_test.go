package pluginhost

import (
	"maps"
	"slices"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// CallbacksOf is what a plugin has of the host, for tests that show tokens of their
// choice.
func (h *Host) CallbacksOf(plugin string) pluginv1.HostServiceServer {
	return callbacks{host: h, plugin: plugin}
}

// Tokens lists those of the invocations that run.
func (h *Host) Tokens() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.invocations))
}

// Leave lets every plugin leave, as a reload does that takes all of them away.
func (h *Host) Leave() { h.current.Store(emptyWorld()) }

// End makes a token void, as the end of its call does.
func (h *Host) End(token string) { h.end(token) }
