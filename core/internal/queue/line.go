package queue

import (
	"container/list"
	"fmt"
	"time"
)

// id is what a line is for.
type id struct {
	catalog string
	lock    string // empty for the catalog's turn
}

func (i id) String() string {
	if i.lock == "" {
		return i.catalog
	}
	return i.catalog + ", " + i.lock
}

// place is a writer in a line.
type place struct {
	writer  Writer
	lease   bool // wants the turn for several writes
	line    *line
	element *list.Element
	turn    chan struct{} // closed when the turn is its, or never will be
	refused error         // why it never will be; set before turn is closed
	came    time.Time     // into the line
	since   time.Time     // in line, or with the turn once it has it
	left    bool

	observed bool // the observer knows that it has the turn
}

func (p *place) take(now time.Time) {
	p.since = now
	close(p.turn)
}

// line is writers in the order in which they came; the first has the turn. It is
// gone when the last has left. Queue.mu guards it.
type line struct {
	id
	among  lines
	lease  *Lease // that it is inside of, or nil
	places list.List
}

// lines are those of the queue, or those inside a lease.
type lines map[id]*line

// get returns a line of the queue, or of a lease if there is one.
func (s lines) get(i id, lease *Lease) *line {
	l := s[i]
	if l == nil {
		l = &line{id: i, among: s, lease: lease}
		s[i] = l
	}
	return l
}

func (l *line) first() *place { return l.places.Front().Value.(*place) }

func (l *line) push(p *place) {
	p.line, p.element = l, l.places.PushBack(p)
	if l.places.Len() == 1 {
		p.take(p.since)
	}
}

func (l *line) remove(p *place) {
	had := l.first() == p
	l.places.Remove(p.element)
	switch {
	case l.places.Len() == 0:
		delete(l.among, l.id)
	case had:
		l.first().take(time.Now())
	}
}

// holder says who has the turn.
func (l *line) holder() string {
	p := l.first()
	verb := "held"
	if p.lease {
		verb = "leased"
	}
	held := time.Since(p.since).Round(time.Millisecond)
	if p.writer == (Writer{}) {
		return fmt.Sprintf("it is %s for %s", verb, held)
	}
	return fmt.Sprintf("it is %s by %s (request %s) for %s", verb, p.writer.Command, p.writer.RequestID, held)
}

// at is what others see of the line.
func (l *line) at(now time.Time) Line {
	p := l.first()
	out := Line{
		Catalog: l.catalog, Lock: l.lock, Holder: p.writer, Lease: p.lease, Held: now.Sub(p.since), Waiting: l.places.Len() - 1,
	}
	if next := l.places.Front().Next(); next != nil {
		out.Longest = now.Sub(next.Value.(*place).since)
	}
	return out
}
