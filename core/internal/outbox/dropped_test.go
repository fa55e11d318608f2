package outbox_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
)

// A lane whose project is dropped ends.
func TestDroppedProject(t *testing.T) {
	t.Parallel()
	o := open(t, t.TempDir(), func(context.Context, outbox.Delivery) error { return nil })
	o.Committed(target, map[string]int{"a": 1}) // project 1 was never there
	o.eventually("nothing runs", func() bool { return o.Counts()[0].Pending == 0 })
}

// It ends as well when the project goes while it delivers and more was committed: it
// does not look for ever for what is gone.
func TestProjectDroppedDuringADelivery(t *testing.T) {
	t.Parallel()
	reached, held := make(chan struct{}), make(chan struct{})
	o := open(t, t.TempDir(), func(context.Context, outbox.Delivery) error {
		close(reached)
		<-held
		return nil
	})
	o.CreateProject("1")
	o.commit(t.Context(), []int{0}, "a")
	<-reached
	o.commit(t.Context(), []int{1}, "a")
	o.drop()
	close(held)
	o.eventually("nothing runs", func() bool { return o.Counts()[0].Pending == 0 })
}

// drop drops project 1.
func (o *office) drop() {
	o.t.Helper()
	if err := o.Engine.Drop(o.t.Context(), engine.Project(o.Layout, "1", plan.DefaultBranch)); err != nil {
		o.t.Fatal(err)
	}
	if err := o.Registry.Forget(o.t.Context(), "1"); err != nil {
		o.t.Fatal(err)
	}
	if err := os.RemoveAll(o.Layout.Files("1")); err != nil {
		o.t.Fatal(err)
	}
}

// A project that is created again, with the name of one that was dropped while its
// events waited, hears of its own events and of no others.
func TestProjectCreatedAgain(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{"during a delivery": nil, "before a repeat": sdk.ErrUnavailable.Errorf("busy")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached, held := make(chan struct{}), make(chan struct{})
			o := open(t, t.TempDir(), func(_ context.Context, d outbox.Delivery) error {
				if string(d.Payload) != "0" || d.Attempt > 1 {
					return nil
				}
				close(reached)
				<-held
				return answer
			})
			o.CreateProject("1")
			o.commit(t.Context(), numbers(10, 15), "off") // its numbers go before those of the next
			o.commit(t.Context(), []int{0}, "a")
			<-reached
			o.drop()
			o.createLater()
			o.commit(t.Context(), []int{1, 2}, "a")
			close(held)
			o.eventually("the outbox is empty", o.empty)
			if diff := cmp.Diff(firsts(0, 3), o.delivered("a")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// createLater makes project 1 in another second than that of an event before: the
// registry notes no less.
func (o *office) createLater() {
	o.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for from := time.Now().Unix(); time.Now().Unix() == from; {
		<-tick.C
	}
	o.CreateProject("1")
}

// A catalog that cannot be opened during a scan is looked into once it can.
func TestScanOfAClosedCatalog(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := open(t, root, nil)
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 3), "off")
	o.stop()

	o = open(t, root, nil)
	o.set("off", outbox.On)
	file := o.Layout.Catalog("1", plan.DefaultBranch)
	if err := os.Rename(file, file+"~"); err != nil {
		t.Fatal(err)
	}
	o.Scan()
	<-o.looked
	if err := os.Rename(file+"~", file); err != nil {
		t.Fatal(err)
	}
	o.eventually("the outbox is empty", func() bool { return cmp.Equal(o.delivered("off"), firsts(0, 3)) })
}
