package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// times are the durations of one thing measured several times.
type times []time.Duration

// at returns the p-quantile, the nearest of the measured values: 0 is the least,
// 0.5 the median, 1 the greatest. There must be at least one.
func (t times) at(p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(t))
	return sorted[int(p*float64(len(sorted)-1)+0.5)]
}

func (t times) median() time.Duration { return t.at(0.5) }

// run does a thing once and tells how long the part of it took that counts.
type run func(context.Context) (time.Duration, error)

// timed is a run all of which counts.
func timed(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	start := time.Now()
	err := do(ctx)
	return time.Since(start), err
}

// side is one of the two that are compared.
type side struct {
	pid   int // whose memory is watched
	run   run
	times times
	peak  int64 // MiB, greatest of the rounds
}

// measure runs once more and remembers it if it counts.
func (s *side) measure(ctx context.Context, counts bool) error {
	if err := resetPeak(s.pid); err != nil {
		return err
	}
	took, err := s.run(ctx)
	if err != nil {
		return err
	}
	mib, err := peak(s.pid)
	if err != nil {
		return err
	}
	if counts {
		s.times = append(s.times, took)
		s.peak = max(s.peak, mib)
	}
	return nil
}

// pair is the service and something plain doing the same thing.
type pair struct{ service, raw side }

// alternate measures both in turns, so that what disturbs the machine disturbs
// both. The first round warms up and does not count.
func (p *pair) alternate(ctx context.Context, rounds int) error {
	for round := range rounds + 1 {
		for _, s := range []*side{&p.service, &p.raw} {
			if err := s.measure(ctx, round > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// ratio of the medians, and the least and greatest of the rounds.
func (p *pair) ratio() (median, least, greatest float64) {
	for i := range p.service.times {
		r := p.service.times[i].Seconds() / p.raw.times[i].Seconds()
		if i == 0 || r < least {
			least = r
		}
		greatest = max(greatest, r)
	}
	return p.service.times.median().Seconds() / p.raw.times.median().Seconds(), least, greatest
}

// resetPeak makes the kernel forget the peak memory of a process so far.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// peak returns the peak resident memory of a process in MiB.
func peak(pid int) (int64, error) { return memory(pid, "VmHWM:") }

// resident returns the resident memory of a process in MiB.
func resident(pid int) (int64, error) { return memory(pid, "VmRSS:") }

// growth returns by how many MiB a process has grown when something was done.
func growth(pid int, do func() error) (int64, error) {
	before, err := resident(pid)
	if err != nil {
		return 0, err
	}
	if err := do(); err != nil {
		return 0, err
	}
	after, err := resident(pid)
	return after - before, err
}

func memory(pid int, what string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, what); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib >> 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, what)
}
