package pluginhost

import (
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
)

// Observer is told what commands and plugins do. It is called from many goroutines
// and must answer at once. All names are of commands and plugins that are loaded, or
// of callbacks that the host has.
type Observer interface {
	// Ran tells that a command has ended, whoever asked for it: a client, another
	// command, or a job. An answer that streams counts until its first bytes.
	Ran(command string, how Outcome, took time.Duration)
	// Asks tells that a plugin is asked for something: a plan, whether a command may
	// run, to take an event. Answered follows, also when it died meanwhile.
	Asks(plugin string)
	Answered(plugin string, took time.Duration)
	// CalledBack tells that a handler asks something of the host.
	CalledBack(plugin, callback string)
}

// Outcome is how a command ended.
type Outcome string

// The outcomes.
const (
	OutcomeOK          Outcome = "ok"
	OutcomeRefused     Outcome = "refused"     // the request was wrong, or not allowed
	OutcomeUnavailable Outcome = "unavailable" // it may succeed later, or when the operator changes something
	OutcomeFailed      Outcome = "failed"      // a fault of the service or of a plugin
	OutcomeCancelled   Outcome = "cancelled"   // it took too long, or the client left
)

// outcome is how a command ended that returned err.
func outcome(err error) Outcome {
	if err == nil {
		return OutcomeOK
	}
	var e *sdk.Error
	if !errors.As(err, &e) {
		return OutcomeFailed
	}
	switch e.Kind {
	case sdk.Internal, sdk.BadGateway:
		return OutcomeFailed
	case sdk.Unavailable, sdk.Exhausted, sdk.Unsupported:
		return OutcomeUnavailable
	case sdk.Timeout:
		return OutcomeCancelled
	}
	return OutcomeRefused
}

// unobserved is the observer of a host that has none.
type unobserved struct{}

func (unobserved) Ran(string, Outcome, time.Duration) {}
func (unobserved) Asks(string)                        {}
func (unobserved) Answered(string, time.Duration)     {}
func (unobserved) CalledBack(string, string)          {}
