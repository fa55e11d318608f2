package pluginhost

import "github.com/keboola/duckdb-storage/sdk"

// What an invocation finds in the world of its moment.

// hooksBefore lists the hooks on a command, by the names of their plugins.
func (h *Host) hooksBefore(command string) []hook { return h.world().hooks[command] }

// event finds a declared event, or nil.
func (h *Host) event(name string) *event { return h.world().events[name] }

// subscribersOf names the plugins that want to hear of an event.
func (h *Host) subscribersOf(event string) []string {
	var names []string
	for _, m := range h.world().subscribing[event] {
		names = append(names, m.name)
	}
	return names
}

// memberOf finds a plugin, the core's own among them. One that is not there answers
// that it is not.
func (h *Host) memberOf(name string) *member {
	for _, m := range h.local {
		if m.name == name {
			return m
		}
	}
	if m := h.world().members[name]; m != nil {
		return m
	}
	return &member{name: name, err: sdk.ErrUnsupported.Errorf("there is no plugin %s", name)}
}

// grantsOf is what a plugin may do now.
func (h *Host) grantsOf(name string) grants {
	return h.memberOf(name).grants
}
