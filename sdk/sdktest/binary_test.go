//go:build unix

package sdktest_test

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

// faultEnv makes the test binary a plugin with a fault.
const faultEnv = "SDKTEST_FAULT"

func TestMain(m *testing.M) {
	if fault, ok := os.LookupEnv(faultEnv); ok {
		sdk.Serve(faulty(fault))
	}
	os.Exit(m.Run())
}

// ballast is memory of the process.
var ballast []byte

// faulty is a plugin with a fault, or without one.
func faulty(fault string) *sdk.Plugin {
	version := "1.0.0"
	switch fault {
	case "changes":
		version = "1.0." + strings.TrimLeft(filepath.Base(os.Getenv("PLUGIN_UNIX_SOCKET_DIR")), "abcdefghijklmnopqrstuvwxyz-") // another at each start
	case "fat":
		ballast = make([]byte, 80<<20)
		for i := range ballast {
			ballast[i] = 1
		}
	}
	p := sdk.New("probe", version)
	sdk.Handle(p, sdk.Command[named, sdk.None]{Name: "probe.Run", Summary: "Run."}, func(c *sdk.Context, _ named) (sdk.None, error) {
		switch fault {
		case "prints":
			_, _ = os.Stdout.WriteString("hello\n")
		case "mortal":
			term := make(chan os.Signal, 1)
			signal.Notify(term, syscall.SIGTERM)
			go func() {
				<-term
				os.Exit(0)
			}()
		}
		return sdk.None{}, query(c)
	}, sdk.Permission("probe:read"))
	return p
}

func TestConformBinaryFindsFaults(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for fault, want := range map[string]string{
		"none":    "",
		"changes": "describes itself differently at each start",
		"fat":     "before its first command, not less than 64 MiB",
		"prints":  `it prints on stdout, which belongs to the handshake: ["hello"`,
		"mortal":  "SIGTERM",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			binary := script(t, "export "+faultEnv+"="+fault+"\nexec "+self)
			got := failing(t, func(t testing.TB) { sdktest.ConformBinary(t, binary) })
			if want == "" && got != "" || !strings.Contains(got, want) {
				t.Errorf("reported %q, want %q", got, want)
			}
		})
	}
}

// A plugin whose parent is not the one that the host started is not told of the
// host's death.
func TestConformBinaryFindsOrphans(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := script(t, "export "+faultEnv+"=none\ntrap '' TERM\n"+self+" &\nwait")
	if got := failing(t, func(t testing.TB) { sdktest.ConformBinary(t, binary) }); !strings.Contains(got, "it outlives its parent by more than") {
		t.Errorf("reported %q", got)
	}
}

func TestConformBinaryFindsNothingToTest(t *testing.T) {
	t.Parallel()
	for name, binary := range map[string]string{
		"no file":      "/does/not/exist",
		"no handshake": script(t, "echo hello"),
		"silent":       script(t, "echo it broke >&2; exit 3"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := failing(t, func(t testing.TB) { sdktest.ConformBinary(t, binary) }); !strings.Contains(got, "does not start") ||
				name == "silent" && !strings.Contains(got, "it broke") {
				t.Errorf("reported %q", got)
			}
		})
	}
}

func script(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "plugin-probe")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
