// Package doctor looks whether the service can work where it is: folders, space,
// limits, DuckDB, clock, plugins, configuration. Start with [Examine].
//
// It looks at a service that runs, from inside ([Subject.Running]), and at a place where
// one is to run or runs in another process. It tells everything that is wrong at
// once, each with what to do.
//
// Promised: it changes nothing. What it makes in order to try a folder or DuckDB has
// a name of its own that begins with .try-, and is removed again. It opens no file that
// it has not made, but for reading the lock of the data directory: whoever closes a
// DuckDB file that its process has open drops DuckDB's lock.
//
// Not promised: that what was free or healthy stays so.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
)

// Status is the outcome of a check.
type Status string

// The outcomes. A warning keeps nothing from working today.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
)

// Check is one thing that was checked.
type Check struct {
	Name   string `json:"name"`
	Status Status `json:"status" jsonschema:"ok, warning or failed"`
	Detail string `json:"detail" jsonschema:"what was found and, unless it is ok, what to do"`
}

// Subject is a service that runs, or the place where one is to run.
type Subject struct {
	// Running is true for a service that looks at itself: its folders must be there,
	// and the lock of the data directory is its own.
	Running bool
	Layout  disk.Layout
	// TempDir is where DuckDB spills; RuntimeDir takes sockets and pipes.
	TempDir, RuntimeDir string
	PluginDir           string
	// MinFree is how many bytes must be free for data, and as many for what spills.
	MinFree int64
	// MaxOpen is how many projects stay open.
	MaxOpen int
	// Memory is what DuckDB may use in bytes, Usable what the process may; 0 is not known.
	Memory, Usable int64
	// Plugins are the executables; PluginsErr says why they cannot be listed.
	Plugins    []Plugin
	PluginsErr error
	// Faults are those of the configuration.
	Faults error
	// Recorded is the newest time that the registry knows, or none.
	Recorded time.Time
	// Registry reads from the registry of a service that runs; nil for any other.
	Registry func(context.Context) error
}

// Plugin is the executable of a plugin.
type Plugin struct {
	Name   string
	Pinned bool  // to a digest, which it has
	Err    error // why it cannot be run
}

// Examine makes every check, in an order in which a person would look.
func Examine(ctx context.Context, s Subject, m Machine) []Check {
	x := &examination{Subject: s, Machine: m, tried: map[string]trial{}}
	checks := []Check{x.config()}
	checks = append(checks, x.folders()...)
	checks = append(checks, x.lock())
	checks = append(checks, x.space()...)
	checks = append(checks, x.openFiles(), x.memory())
	checks = append(checks, x.library(ctx)...)
	checks = append(checks, x.registry(ctx)...)
	return append(checks, x.clock(), x.plugins())
}

// Failures are the checks that failed, as one line each.
func Failures(checks []Check) []string {
	var out []string
	for _, c := range checks {
		if c.Status == Failed {
			out = append(out, c.Name+": "+c.Detail)
		}
	}
	return out
}

// examination is one run of the checks.
type examination struct {
	Subject
	Machine
	tried map[string]trial // by folder
}

func ok(name, format string, args ...any) Check {
	return Check{name, OK, line(fmt.Sprintf(format, args...))}
}

func warning(name, format string, args ...any) Check {
	return Check{name, Warning, line(fmt.Sprintf(format, args...))}
}

func failed(name, format string, args ...any) Check {
	return Check{name, Failed, line(fmt.Sprintf(format, args...))}
}

// line is a text without line breaks: a check is one line.
func line(text string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
}

func (x *examination) config() Check {
	if x.Faults != nil {
		return failed("config", "%s; put it right before the next start or reload", x.Faults)
	}
	return ok("config", "every setting is valid")
}

func (x *examination) lock() Check {
	const name = "dataLock"
	if x.Running {
		return ok(name, "held by this service")
	}
	switch holder, err := x.Layout.Holder(); {
	case err != nil:
		return failed(name, "%s", explain(err))
	case holder != "":
		return ok(name, "%s is in use by process %s: a second service is refused there; its databases are not looked into", x.Layout.Root, holder)
	}
	return ok(name, "%s is free", x.Layout.Root)
}

func (x *examination) registry(ctx context.Context) []Check {
	if x.Registry == nil {
		return nil
	}
	if err := x.Registry(ctx); err != nil {
		return []Check{failed("registry", "%s; see the log of the service", err)}
	}
	return []Check{ok("registry", "it answers")}
}

func (x *examination) plugins() Check {
	const name = "plugins"
	if x.PluginsErr != nil {
		return failed(name, "%s", explain(x.PluginsErr))
	}
	if len(x.Plugins) == 0 {
		return failed(name, "%s holds no executable plugin-<name>: install the plugins, or set plugin_dir", x.PluginDir)
	}
	var names, faults []string
	pinned := 0
	for _, p := range x.Plugins {
		names = append(names, p.Name)
		if p.Err != nil {
			faults = append(faults, p.Err.Error())
		}
		if p.Pinned {
			pinned++
		}
	}
	if len(faults) > 0 {
		return failed(name, "%s", strings.Join(faults, "; "))
	}
	return ok(name, "%s; %d of %d pinned", strings.Join(names, ", "), pinned, len(names))
}
