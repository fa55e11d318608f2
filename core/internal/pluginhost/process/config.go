package process

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// maxRuntimeDirBytes leaves room for "/plugin-dir<10 digits>/plugin<10 digits>"
// in the 104 (macOS) or 108 (Linux) bytes that a socket's path may have.
const maxRuntimeDirBytes = 64

// Config says which plugin to run and how patiently. Name, Path, RuntimeDir and Host
// are required.
type Config struct {
	// Name is the expected name of the plugin: a binary that describes itself
	// otherwise is refused.
	Name string
	// Path is the executable. It is run again after a crash, so it must stay
	// what it is.
	Path string
	// Origin is the file that Path is a copy of, for messages; empty is Path.
	Origin string
	// RuntimeDir is an existing directory that only its owner may enter (0700),
	// with an absolute path of 64 bytes at most. Each process has a directory
	// for its sockets in it. It must not be below /tmp, where cleaners delete sockets.
	RuntimeDir string
	// Host answers the plugin's callbacks. Its methods are called concurrently
	// and must return soon after their context has ended, which happens when
	// the plugin dies.
	Host pluginv1.HostServiceServer

	// Features are what the host can do beyond the first release of the protocol.
	Features []string
	// Settings are what Configure hands over: a JSON object, or nothing.
	Settings []byte
	// Check looks at what the plugin says of itself before it is given anything, and
	// refuses it by an error. It is asked once, at Start. The default accepts all.
	Check func(*pluginv1.DescribeResponse) error
	// Reattach connects to a process that runs already in place of starting Path; nil
	// is not to.
	Reattach *Reattach

	// Logger receives the plugin's log lines with their level, and what the
	// supervisor has to say. The plugin is told to log at its level. The
	// default is no log.
	Logger hclog.Logger

	StartTimeout   time.Duration // from fork to serving; 10 s
	ReadyWait      time.Duration // how long Invoke waits for a plugin that is being restarted; 5 s
	HealthInterval time.Duration // between health checks; 10 s
	HealthTimeout  time.Duration // for the answer to one, after which the process is killed; 3 s
	KillTimeout    time.Duration // for a process to end when asked, before SIGKILL; 2 s

	// The first restart is made at once, the second after BackoffMin, each
	// further one after twice the time before, BackoffMax at most. They are
	// counted within CrashWindow.
	BackoffMin time.Duration // 100 ms
	BackoffMax time.Duration // 30 s
	// CrashLimit processes that end (or do not come up) within CrashWindow are
	// the last: the plugin has failed.
	CrashLimit  int           // 5
	CrashWindow time.Duration // 10 min
}

// WithDefaults returns the config with a value for every field that may be left
// out.
func (c Config) WithDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Check == nil {
		c.Check = func(*pluginv1.DescribeResponse) error { return nil }
	}
	c.Origin = cmp.Or(c.Origin, c.Path)
	c.StartTimeout = cmp.Or(c.StartTimeout, 10*time.Second)
	c.ReadyWait = cmp.Or(c.ReadyWait, 5*time.Second)
	c.HealthInterval = cmp.Or(c.HealthInterval, 10*time.Second)
	c.HealthTimeout = cmp.Or(c.HealthTimeout, 3*time.Second)
	c.KillTimeout = cmp.Or(c.KillTimeout, 2*time.Second)
	c.BackoffMin = cmp.Or(c.BackoffMin, 100*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, 30*time.Second)
	c.CrashLimit = cmp.Or(c.CrashLimit, 5)
	c.CrashWindow = cmp.Or(c.CrashWindow, 10*time.Minute)
	return c
}

// Validate reports every fault of a config that has its defaults.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Name == "" {
		fault("the name is missing")
	}
	if !filepath.IsAbs(c.Path) && c.Reattach == nil {
		fault("the path of the executable must be absolute, not %q", c.Path)
	}
	if c.Host == nil {
		fault("nobody answers its callbacks: Host is missing")
	}
	if !filepath.IsAbs(c.RuntimeDir) || len(c.RuntimeDir) > maxRuntimeDirBytes {
		fault("the runtime directory %q must have an absolute path of %d bytes at most, because the paths of sockets are short", c.RuntimeDir, maxRuntimeDirBytes)
	}
	if info, err := os.Stat(c.RuntimeDir); err != nil {
		fault("the runtime directory: %w", err)
	} else if !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		fault("the runtime directory %s must be a directory with mode 0700, not %v", c.RuntimeDir, info.Mode())
	}
	for name, d := range map[string]time.Duration{
		"StartTimeout": c.StartTimeout, "ReadyWait": c.ReadyWait, "HealthInterval": c.HealthInterval,
		"HealthTimeout": c.HealthTimeout, "KillTimeout": c.KillTimeout,
		"BackoffMin": c.BackoffMin, "BackoffMax": c.BackoffMax, "CrashWindow": c.CrashWindow,
	} {
		if d <= 0 {
			fault("%s must be positive, not %v", name, d)
		}
	}
	if c.CrashLimit < 1 {
		fault("CrashLimit must be at least 1, not %d", c.CrashLimit)
	}
	if len(faults) > 0 {
		return fmt.Errorf("plugin %q is configured wrongly: %w", c.Name, errors.Join(faults...))
	}
	return nil
}
