package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAt(t *testing.T) {
	t.Parallel()
	hundred := make(times, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i) // 100 to 1
	}
	for _, tc := range []struct {
		name  string
		times times
		p     float64
		want  time.Duration
	}{
		{"one", times{7}, 0.95, 7},
		{"least", times{3, 1, 2}, 0, 1},
		{"median of three", times{3, 1, 2}, 0.5, 2},
		{"median of two is the greater", times{3, 1}, 0.5, 3},
		{"greatest", times{3, 1, 2}, 1, 3},
		{"p95 of a hundred", hundred, 0.95, 95},
	} {
		if got := tc.times.at(tc.p); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the times were sorted in place: rounds would no longer match")
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	p := &pair{service: side{times: times{20, 30, 90}}, raw: side{times: times{10, 30, 30}}}
	median, least, greatest := p.ratio()
	if diff := cmp.Diff([]float64{1, 1, 3}, []float64{median, least, greatest}); diff != "" {
		t.Error(diff)
	}
}

func TestAlternate(t *testing.T) {
	t.Parallel()
	var order string
	took := map[string]time.Duration{"s": 100, "r": 10}
	do := func(name string) run {
		return func(context.Context) (time.Duration, error) {
			order += name
			took[name]++
			return took[name], nil
		}
	}
	p := &pair{service: side{pid: os.Getpid(), run: do("s")}, raw: side{pid: os.Getpid(), run: do("r")}}
	if err := p.alternate(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if order != "srsrsr" {
		t.Errorf("ran %s, want a warm-up and two rounds in turns", order)
	}
	if diff := cmp.Diff([]times{{102, 103}, {12, 13}}, []times{p.service.times, p.raw.times}); diff != "" {
		t.Errorf("the warm-up must not count: %s", diff)
	}
	if p.service.peak < 1 {
		t.Errorf("the peak memory of this process is %d MiB", p.service.peak)
	}
	broken := errors.New("broken")
	p.raw.run = func(context.Context) (time.Duration, error) { return 0, broken }
	if err := p.alternate(t.Context(), 2); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of a round", err)
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := growth(os.Getpid(), func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want the error of what was done", err)
	}
	if _, err := memory(os.Getpid(), "VmNothing:"); err == nil {
		t.Error("a line that is not there has a value")
	}
}
