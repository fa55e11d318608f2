package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PluginPID returns the process id of a plugin, for example "tables". A plugin
// that is being restarted has none for a moment, which is ErrNoProcess.
func (s *Service) PluginPID(name string) (int, error) {
	plugins, err := s.plugins()
	if err != nil {
		return 0, err
	}
	if pid, ok := plugins[name]; ok {
		return pid, nil
	}
	return 0, fmt.Errorf("plugin %s: %w", name, ErrNoProcess)
}

// PluginPIDs returns the process ids of all plugins.
func (s *Service) PluginPIDs() ([]int, error) {
	plugins, err := s.plugins()
	pids := make([]int, 0, len(plugins))
	for _, pid := range plugins {
		pids = append(pids, pid)
	}
	return pids, err
}

// ErrNoProcess says that a plugin has no process now.
var ErrNoProcess = errors.New("it has no process")

// plugins finds the children of the host whose executable is a plugin's, by name.
func (s *Service) plugins() (map[string]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || parent(pid) != s.PID() {
			continue
		}
		if name, ok := strings.CutPrefix(executable(pid), "plugin-"); ok {
			found[name] = pid
		}
	}
	return found, nil
}

// Alive reports whether a process exists that has not ended.
func Alive(pid int) bool { return executable(pid) != "" }

// executable is the file name of a process's program; empty for one that ended.
func executable(pid int) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	// The kernel says so of a binary that was built anew meanwhile.
	return strings.TrimSuffix(filepath.Base(path), " (deleted)")
}

// parent returns the parent of a process, or 0.
func parent(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything; state and parent follow it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1]) // 0 is nobody's
	return ppid
}
