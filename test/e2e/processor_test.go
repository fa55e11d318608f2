package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tick is the kernel's unit of processor time (USER_HZ), the same on every Linux.
const tick = 10 * time.Millisecond

// processorTime is what a process has used so far, in user and system mode.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	// The name in parentheses may hold anything. utime and stime are the 14th and
	// 15th field (proc(5)), the state after the name is the third.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	must(t, err)
	system, err := strconv.Atoi(fields[12])
	must(t, err)
	return time.Duration(user+system) * tick
}

const (
	// window is the time over which use is measured, in steps.
	window, step = 300 * time.Millisecond, 50 * time.Millisecond
	// A service that works uses a core and more; on a machine that others use as
	// well, at least this much of a window. One that rests uses next to nothing.
	working, resting = 100 * time.Millisecond, 30 * time.Millisecond
)

// busy waits until a process uses the processor.
func busy(t *testing.T, pid int) {
	t.Helper()
	awaitUse(t, pid, 30*time.Second, func(used time.Duration) bool { return used >= working })
}

// quietWithin waits until a process no longer uses the processor. It must have
// stopped that soon after now.
func quietWithin(t *testing.T, pid int, limit time.Duration) {
	t.Helper()
	took := awaitUse(t, pid, limit+window+2*time.Second, func(used time.Duration) bool { return used <= resting })
	if stopped := took - window; stopped > limit {
		t.Errorf("it used the processor for %s more, and may for %s", stopped, limit)
	}
}

// awaitUse measures each window and returns the time until the first one that is
// as wanted was over.
func awaitUse(t *testing.T, pid int, most time.Duration, want func(used time.Duration) bool) time.Duration {
	t.Helper()
	type sample struct {
		at   time.Time
		used time.Duration
	}
	began := time.Now()
	samples := []sample{{began, processorTime(t, pid)}}
	look := time.NewTicker(step)
	defer look.Stop()
	for {
		<-look.C
		now := sample{time.Now(), processorTime(t, pid)}
		samples = append(samples, now)
		for now.at.Sub(samples[1].at) >= window {
			samples = samples[1:]
		}
		used := now.used - samples[0].used
		if now.at.Sub(samples[0].at) >= window && want(used) {
			return now.at.Sub(began)
		}
		if now.at.Sub(began) > most {
			t.Fatalf("after %s it still used %s of %s", most, used, now.at.Sub(samples[0].at))
		}
	}
}
