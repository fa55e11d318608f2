package process

import (
	"os"
	"slices"
)

// fromHost are the only variables of the host that a plugin sees.
var fromHost = [...]string{"PATH", "TZ", "LANG", "GOTRACEBACK"}

// environment is all that a plugin finds in its environment: the variables of
// go-plugin's handshake, those of the host that name no secret, and bounds for
// a Go runtime that would otherwise take every core and grow as it likes. The
// host's own variables hold the admin key; HOME is left out because a plugin
// has no files.
func environment(handshake []string) []string {
	env := slices.Clone(handshake)
	for _, name := range fromHost {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, "GOMAXPROCS=2", "GOMEMLIMIT=128MiB")
}
