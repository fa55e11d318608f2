package process

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// It is tested from inside: no process lives long enough to show a window of
// ten minutes.
func TestCrashes(t *testing.T) {
	t.Parallel()
	const giveUp = time.Duration(-1)
	tests := map[string]struct {
		limit int
		at    []time.Duration
		want  []time.Duration
	}{
		"the first restart is made at once": {5, []time.Duration{0}, []time.Duration{0}},
		"the backoff doubles to its maximum": {
			9, make([]time.Duration, 7),
			[]time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, time.Second, time.Second},
		},
		"five in a window are the last": {
			5, []time.Duration{0, 1 * time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute},
			[]time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, giveUp},
		},
		"what is older than the window is forgotten": {
			3, []time.Duration{0, 9 * time.Minute, 10 * time.Minute, 25 * time.Minute},
			[]time.Duration{0, 100 * time.Millisecond, 100 * time.Millisecond, 0},
		},
		"the first may be the last": {1, []time.Duration{0}, []time.Duration{giveUp}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := crashes{limit: test.limit, window: 10 * time.Minute, backoffMin: 100 * time.Millisecond, backoffMax: time.Second}
			begin := time.Unix(0, 0)
			var got []time.Duration
			for _, at := range test.at {
				delay, again := c.add(begin.Add(at))
				if !again {
					delay = giveUp
				}
				got = append(got, delay)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
