package core

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/hashicorp/go-hclog"
)

const (
	// memoryShare of what the process may use goes to DuckDB. The rest is for Go,
	// for results that the driver holds, and for what DuckDB does not count.
	memoryShare = 0.75
	// minMemory is what both registries have, and one project in use.
	minMemory = 256 << 20
)

// sizes are the units of a size; those with an i are powers of 1024.
var sizes = map[string]float64{
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

var sizeText = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B)$`)

// parseSize reads a size such as 8GB or 1.5GiB; an empty text is 0 bytes.
func parseSize(text string) (bytes int64, ok bool) {
	if text == "" {
		return 0, true
	}
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n *= sizes[strings.ToUpper(m[2])]
	return int64(n), err == nil && n < 1<<62
}

// memory is the budget of all open projects in bytes: the setting, or a share of
// what the process may use, which is the machine's memory or less in a container.
func (c EngineConfig) memory(log hclog.Logger) int64 {
	if c.MemoryLimit != "" {
		bytes, _ := parseSize(c.MemoryLimit) // it was validated
		return bytes
	}
	usable, err := usableMemory()
	switch {
	case usable == 0:
		log.Warn("the machine's memory is not known; set engine.memory_limit", "error", err)
		return 4 * minMemory
	case err != nil:
		log.Warn("the container's memory limit cannot be read; set engine.memory_limit if there is one", "error", err)
	}
	budget := max(int64(float64(usable)*memoryShare), minMemory)
	log.Info("memory for all open projects", "MiB", budget>>20, "usableMiB", usable>>20)
	return budget
}

// usableMemory is the machine's memory in bytes, or less in a container; 0 when it is not
// known. With an error beside bytes a container may allow less than them.
func usableMemory() (int64, error) {
	usable, err := memlimit.FromSystem()
	if err != nil {
		return 0, err
	}
	container, err := memlimit.FromCgroup()
	switch {
	case err == nil:
		usable = min(usable, container)
	case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
		err = nil
	}
	return int64(usable), err
}
