package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// nobody is a user without rights.
const nobody = 65534

// The admin key, which is in the environment of the service, is in that of no plugin.
func TestPluginsDoNotGetTheKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	pids, err := s.PluginPIDs()
	if err != nil || len(pids) == 0 {
		t.Fatalf("no plugins: %v", err)
	}
	for _, pid := range pids {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || len(env) == 0 {
			t.Fatalf("the environment of plugin %d: %q, %v", pid, env, err)
		}
		for variable := range strings.SplitSeq(string(env), "\x00") {
			name, value, _ := strings.Cut(variable, "=")
			if strings.Contains(value, s.AdminKey) || strings.HasPrefix(name, "DUCKDB_STORAGE_") && name != "DUCKDB_STORAGE_PLUGIN" {
				t.Errorf("plugin %d has %s", pid, name)
			}
		}
	}
}

// Whoever runs as the user of the service, as plugins do, cannot read the key out of
// the service either; unless the operator wants core dumps.
func TestTheServiceIsClosedToItsUser(t *testing.T) {
	t.Parallel()
	for _, dumps := range []bool{false, true} {
		s := startUnprivileged(t, fmt.Sprintf("DUCKDB_STORAGE_CORE_DUMPS=%v", dumps))
		env, err := readAsUser(t, s, "environ")
		switch {
		case dumps && (err != nil || !strings.Contains(env, s.AdminKey)):
			t.Errorf("the control shows nothing: %v", err)
		case !dumps && (err == nil || strings.Contains(env, s.AdminKey)):
			t.Error("the environment of the service can be read")
		}
		works(t, s)
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// works shows that the service does its work, by the files that it has of its own.
func works(t *testing.T, s *service.Service) {
	t.Helper()
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Upload(t.Context(), "a.csv", strings.NewReader("id\n1\n")); err != nil {
		t.Error(err)
	}
	if rows, err := p.Query(t.Context(), "SELECT 1"); err != nil || len(rows) != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	if _, err := s.Admin().Do(t.Context(), http.MethodGet, "/metrics", nil, nil); err != nil {
		t.Error(err)
	}
}

// startUnprivileged starts a service as the user of the test or, if that is root who may
// read everything, as nobody.
func startUnprivileged(t *testing.T, settings ...string) *service.Service {
	t.Helper()
	o := service.Options{Bin: bin, DataDir: dataDir(t), Env: settings}
	if os.Geteuid() == 0 {
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skip("root cannot become another user here: setpriv is missing")
		}
		// The folders above the binaries may be closed to others.
		o.Bin = dataDir(t)
		if err := os.CopyFS(o.Bin, os.DirFS(bin)); err != nil {
			t.Fatal(err)
		}
		err = errors.Join(os.Chmod(o.Bin, 0o755), os.Chmod(filepath.Join(o.Bin, "plugins"), 0o755), os.Chown(o.DataDir, nobody, nobody))
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint(nobody)
		o.Wrap = []string{setpriv, "--reuid=" + id, "--regid=" + id, "--clear-groups"}
	}
	s, err := service.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

// readAsUser reads a file of the service's in /proc as a plugin would.
func readAsUser(t *testing.T, s *service.Service, name string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "cat", fmt.Sprintf("/proc/%d/%s", s.PID(), name))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.Output()
	return string(out), err
}
