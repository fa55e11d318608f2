package process

import "time"

// crashes decides from the recent past whether and when a plugin is started
// again.
type crashes struct {
	limit                  int
	window                 time.Duration
	backoffMin, backoffMax time.Duration

	times []time.Time // within the window, oldest first
}

// add records a crash. It returns how long to wait before the next start, or
// false when there were as many as the limit.
func (c *crashes) add(now time.Time) (time.Duration, bool) {
	for len(c.times) > 0 && now.Sub(c.times[0]) >= c.window {
		c.times = c.times[1:]
	}
	c.times = append(c.times, now)
	if len(c.times) >= c.limit {
		return 0, false
	}
	if len(c.times) == 1 {
		return 0, true
	}
	delay := c.backoffMin
	for range len(c.times) - 2 {
		if delay >= c.backoffMax {
			break
		}
		delay *= 2
	}
	return min(delay, c.backoffMax), true
}
