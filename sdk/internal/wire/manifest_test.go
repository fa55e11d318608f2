package wire

import (
	"bytes"
	"strings"
	"testing"
)

// What a person gets who runs the program. With the host it is TestServe's.
func TestMainByHand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args           []string
		status         int
		stdout, stderr string // what they begin with; empty is nothing
	}{
		"nothing":       {nil, 1, "", "probe 1.0.0 is a plugin of DuckDB Storage"},
		"help":          {[]string{"--help"}, 0, "probe 1.0.0 is a plugin of DuckDB Storage", ""},
		"short help":    {[]string{"-h"}, 0, "probe 1.0.0 is a plugin of DuckDB Storage", ""},
		"one dash":      {[]string{"-manifest"}, 0, "{\n  \"name\": \"probe\"", ""},
		"manifest":      {[]string{"--manifest"}, 0, "{\n  \"name\": \"probe\"", ""},
		"doc":           {[]string{"--doc"}, 0, "# Plugin probe 1.0.0", ""},
		"unknown flag":  {[]string{"--version"}, 2, "", `plugin-probe: unknown argument "--version"` + "\nflags: --manifest, --doc, --debug, --help\n"},
		"word":          {[]string{"doc"}, 2, "", `plugin-probe: unknown argument "doc"`},
		"two arguments": {[]string{"--doc", "--help"}, 2, "", `plugin-probe: takes one flag at most, not ["--doc" "--help"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			if got := Main(plugin{}, tt.args, &stdout, &stderr); got != tt.status {
				t.Errorf("the status is %d, want %d", got, tt.status)
			}
			for which, texts := range map[string][2]string{"stdout": {stdout.String(), tt.stdout}, "stderr": {stderr.String(), tt.stderr}} {
				if got, want := texts[0], texts[1]; !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("%s is %q, want %q", which, got, want)
				}
			}
		})
	}
}
