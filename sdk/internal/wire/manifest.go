package wire

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/keboola/duckdb-storage/sdk/manual"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// The statuses with which a plugin's program ends, beside 0.
const (
	exitFailed = 1 // also when it was not the host that started it
	exitUsage  = 2 // wrong arguments
)

// Main is the program of a plugin. The host starts it without arguments; a person
// may ask it what it is. It returns the exit status.
func Main(p Plugin, args []string, stdout, stderr io.Writer) int {
	d := p.Describe()
	mode, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "plugin-%s: %v\nflags: %s\n", d.GetName(), err, strings.Join(modes, ", "))
		return exitUsage
	}
	switch mode {
	case "--help":
		fmt.Fprintf(stdout, "%s", manual.Usage(d))
		return 0
	case "--doc":
		fmt.Fprintf(stdout, "%s", manual.Markdown(d))
		return 0
	case "--manifest":
		return manifest(d, stdout, stderr)
	case "--debug":
		return debug(p, stdout, stderr)
	}
	if os.Getenv(pluginv1.MagicCookieKey) != pluginv1.MagicCookieValue {
		fmt.Fprintf(stderr, "%s", manual.Usage(d))
		return exitFailed
	}
	Serve(p)
	return 0
}

var modes = []string{"--manifest", "--doc", "--debug", "--help"}

// parse returns one of the modes, or nothing to serve the host.
func parse(args []string) (mode string, err error) {
	switch {
	case len(args) == 0:
		return "", nil
	case len(args) > 1:
		return "", fmt.Errorf("takes one flag at most, not %q", args)
	}
	name := "--" + strings.TrimLeft(args[0], "-")
	for _, m := range modes {
		if strings.HasPrefix(args[0], "-") && name == m || args[0] == "-h" && m == "--help" {
			return m, nil
		}
	}
	return "", fmt.Errorf("unknown argument %q", args[0])
}

func manifest(d *pluginv1.DescribeResponse, stdout, stderr io.Writer) int {
	raw, err := manual.JSON(d)
	if err == nil {
		_, err = stdout.Write(raw)
	}
	if err != nil {
		fmt.Fprintf(stderr, "plugin-%s: %v\n", d.GetName(), err)
		return exitFailed
	}
	return 0
}
