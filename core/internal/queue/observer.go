package queue

import "time"

// Observer is told what becomes of writers, as it happens. Its methods may be
// called from several goroutines and with the queue locked: they return at once
// and do not call it.
//
// lock tells a lock from a catalog's turn. A lease is one turn, whatever is
// written inside it: of that only what is refused is told.
type Observer interface {
	// Waited is called when a writer has its turn. Zero is a line that was empty.
	Waited(lock bool, d time.Duration)
	// Held is called when it gives its turn back.
	Held(lock bool, d time.Duration)
	// Refused is called instead of both.
	Refused(Refusal)
}

// Refusal is why a writer got no turn.
type Refusal string

// The refusals.
const (
	Full      Refusal = "full"      // too many waited already
	TimedOut  Refusal = "timeout"   // it waited for too long
	Cancelled Refusal = "cancelled" // its request ended before
)

// nobody observes nothing.
type nobody struct{}

func (nobody) Waited(bool, time.Duration) {}
func (nobody) Held(bool, time.Duration)   {}
func (nobody) Refused(Refusal)            {}
