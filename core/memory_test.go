package core

import (
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/hashicorp/go-hclog"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text  string
		bytes int64
		ok    bool
	}{
		{"", 0, true}, {"1KB", 1000, true}, {"1KiB", 1024, true}, {"1.5GB", 1_500_000_000, true}, {"1.5 gib", 3 << 29, true},
		{"2TiB", 2 << 40, true}, {"300MB", 300_000_000, true},
		{"1", 0, false}, {"GB", 0, false}, {"-1GB", 0, false}, {"1 000MB", 0, false}, {"80%", 0, false}, {"1GBs", 0, false},
		{"9999999999TB", 0, false},
	} {
		bytes, ok := parseSize(tc.text)
		if ok != tc.ok || ok && bytes != tc.bytes {
			t.Errorf("%q: got %d, %v; want %d, %v", tc.text, bytes, ok, tc.bytes, tc.ok)
		}
	}
}

func TestMemoryBudget(t *testing.T) {
	t.Parallel()
	log := hclog.NewNullLogger()
	if got := (EngineConfig{MemoryLimit: "2GB"}).memory(log); got != 2_000_000_000 {
		t.Errorf("as it is set: got %d", got)
	}
	machine, err := memlimit.FromSystem()
	if err != nil {
		t.Fatal(err)
	}
	got := EngineConfig{}.memory(log)
	if got < minMemory || got > int64(machine)*3/4 {
		t.Errorf("on a machine with %d bytes: got %d", machine, got)
	}
	if container, err := memlimit.FromCgroup(); err == nil && got > int64(container)*3/4 {
		t.Errorf("in a container with %d bytes: got %d", container, got)
	}
}
