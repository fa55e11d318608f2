package crash_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// mishap is what happens to one operation of the service.
type mishap struct {
	op      string // as in a golden
	nth     int    // of the equal ones, from 1
	name    string // EIO, ENOSPC or SIGKILL
	verdict faults.Verdict
}

func (m mishap) String() string { return fmt.Sprintf("%s at %q (%d)", m.name, m.op, m.nth) }

// otherPath is a path of the project that nothing happens to.
var otherPath = regexp.MustCompile(`/project_` + otherProject + `[_/]`)

// plan spreads mishaps over the operations of a work. In the short form each that is
// its own has one; in the long form every one has them at several of its places, in
// every way. ways are those of one operation.
func (k kind) plan(most map[string]int, rounds int, ways func(op string) []mishap) []mishap {
	var out []mishap
	for i, op := range slices.Sorted(maps.Keys(most)) {
		places, all := spread(most[op], max(rounds, 3)), ways(op)
		if rounds == 1 {
			if !k.own.MatchString(op) {
				continue
			}
			places, all = places[:1], all[i%len(all):][:1]
		}
		for _, m := range all {
			for _, m.nth = range places {
				m.op = op
				out = append(out, m)
			}
		}
	}
	return out
}

// half is every second one, from the first or from the second. One alone stays.
func half(all []mishap, second bool) []mishap {
	var out []mishap
	for i, m := range all {
		if (i%2 == 1) == second || len(all) == 1 {
			out = append(out, m)
		}
	}
	return out
}

// spread are so many numbers from 1 to most, with both, or all if there are fewer.
func spread(most, n int) []int {
	var out []int
	for i := range n {
		out = append(out, 1+i*(most-1)/(n-1))
	}
	return slices.Compact(out)
}

// failing are the errors that an operation may have.
func failing(op string) []mishap {
	eio := mishap{name: "EIO", verdict: faults.Fail(syscall.EIO)}
	enospc := mishap{name: "ENOSPC", verdict: faults.Fail(syscall.ENOSPC)}
	kind, _, _ := strings.Cut(op, " ")
	switch faults.Kind(kind) {
	case faults.Unlink, faults.Rmdir, faults.Truncate, faults.Open:
		return []mishap{eio} // these need no space
	}
	return []mishap{eio, enospc}
}

func killing(string) []mishap { return []mishap{{name: "SIGKILL", verdict: faults.Kill}} }

// mishapsOfOneStart is how many failures the short form lets happen before it starts
// the service again.
const mishapsOfOneStart = 8

// Operations on files fail while clients work, and the host is killed at named ones.
//
// A request that met a failure is answered with what is right or with a problem;
// other projects are served at once and this one within a second. After a failure
// and after a kill, what was acknowledged is there, what was not is there whole or
// not at all, and after the next start nothing is left over.
func TestMishaps(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	seed, rounds := seed(t), faultRounds(t)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			o := newOrdeal(t, k, seed)
			most := o.operations(t)
			sum := tally{answers: map[string]int{}}
			kills := k.plan(most, rounds, killing)
			if rounds == 1 {
				kills = half(kills, seed%2 == 1)
			}
			for i, m := range slices.Concat(k.plan(most, rounds, failing), kills) {
				err := o.suffer(t, m, &sum)
				if err == nil && (rounds > 1 || len(o.since) == mishapsOfOneStart) {
					err = o.again(t, i%2 == 0)
				}
				if err != nil {
					t.Errorf("%s: %v\n%s", m, err, events(o.service))
					o.service.Kill()
					o = newOrdeal(t, k, seed)
				}
			}
			if err := o.end(false); err != nil {
				t.Error(err)
			}
			if err := checkDisk(o.dir, o.want()); err != nil {
				t.Error(err)
			}
			t.Logf("%d kinds of operations: %s", len(most), sum)
			if sum.failed == 0 || sum.killed == 0 {
				t.Error("no operation failed, or no kill met one: this test has shown nothing")
			}
		})
	}
}

// tally counts what a service survived.
type tally struct {
	failed, killed, notMet int
	answers                map[string]int // to requests that met a failure
	longest                time.Duration  // that the project was away
}

func (t tally) String() string {
	return fmt.Sprintf("survived %d failed operations, answered with %v, served again after %s at the latest, and %d kills; %d were not met",
		t.failed, t.answers, t.longest.Round(time.Millisecond), t.killed, t.notMet)
}

// suffer lets a mishap happen and checks what the service does then.
func (o *ordeal) suffer(t *testing.T, m mishap, sum *tally) error {
	t.Helper()
	hit, err := o.meet(t, m)
	if !hit {
		sum.notMet++
		return err
	}
	if m.verdict == faults.Kill {
		sum.killed++
		return o.died(t, err)
	}
	sum.failed++
	answer, away, err := o.failed(t, m, err)
	sum.answers[answer]++
	sum.longest = max(sum.longest, away)
	return err
}

// failed checks a service that met a failing operation; ended is how the request
// did.
func (o *ordeal) failed(t *testing.T, m mishap, ended error) (answer string, away time.Duration, err error) {
	t.Helper()
	if answer, err = answered(m, ended); err != nil {
		return answer, 0, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	if away, err = o.serves(ctx); err != nil {
		return answer, away, err
	}
	return answer, away, o.check(ctx, false)
}

// answered finds what is wrong with the answer to a request that met a failed
// operation, and returns the problem in a few words.
func answered(m mishap, err error) (string, error) {
	var p *service.Problem
	switch {
	case err == nil:
		return "done", nil
	case !errors.As(err, &p):
		return "", fmt.Errorf("no answer, or a wrong one: %w", err)
	case p.Status < 500:
		return "", fmt.Errorf("a fault of the disk is said to be the client's: %w", p)
	case m.name == "ENOSPC" && p.Status != http.StatusServiceUnavailable:
		return "", fmt.Errorf("a full disk is not said to be one: %w", p)
	case strings.Contains(p.Detail, ".duckdb") || strings.Contains(p.Detail, "/tmp/"):
		return "", fmt.Errorf("the problem shows a path of the host: %w", p)
	}
	return fmt.Sprintf("%d %s", p.Status, strings.TrimPrefix(p.Type, "/problems/")), nil
}

// died starts a service again that was killed; ended is how the request did.
func (o *ordeal) died(t *testing.T, ended error) error {
	t.Helper()
	var p *service.Problem
	var wrong *wrongAnswer
	if errors.As(ended, &p) || errors.As(ended, &wrong) {
		return fmt.Errorf("%w, want the right answer or none", ended)
	}
	return o.again(t, true)
}

// faultRounds is at how many of its places an operation has mishaps. 1 is the short
// form.
func faultRounds(t *testing.T) int {
	t.Helper()
	return int(number(t, "FAULT_ROUNDS", 1))
}
