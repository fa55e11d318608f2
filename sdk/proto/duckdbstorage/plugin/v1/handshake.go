// Package pluginv1 is the contract between the host and its plugins: generated
// messages and services (plugin.proto, host.proto), and what both sides must
// agree on before the first message.
package pluginv1

// The handshake and the limits of the connection.
const (
	// ProtocolVersion is the wire major: it changes when an old plugin can no
	// longer be understood.
	ProtocolVersion = 1
	// MagicCookieKey and MagicCookieValue tell a plugin binary that the host
	// started it. They are no secret.
	MagicCookieKey   = "DUCKDB_STORAGE_PLUGIN"
	MagicCookieValue = "6f1d3c0b-host"
	// DispenseName is the name under which go-plugin dispenses PluginService.
	DispenseName = "storage"
	// MaxMessageBytes bounds one message in either direction. Rows and files
	// never travel in messages, so reaching it is an error of the caller.
	MaxMessageBytes = 16 << 20
)
