package links

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// maxNames is how many names of definitions are remembered for a target; with more,
// everything is compared: to look one up costs microseconds, to list 5000 tables 75 ms.
const maxNames = 1000

// target is what is known of a catalog and its linked buckets.
type target struct {
	// fresh is the epoch in which the linked buckets show what they should; 0 is none.
	fresh atomic.Uint64
	// linked are the names of the linked buckets, by folded name. It is never changed.
	linked atomic.Pointer[map[string]string]
	// turn is full while somebody changes what the linked buckets are and show.
	turn chan struct{}

	// Of whoever has the turn.
	known uint64 // epoch in which links was read
	links []*link

	mu       sync.Mutex
	stale    stale
	failedAt time.Time // when the last attempt failed, if it did
	failedIn uint64    // epoch of that attempt
}

// link is a linked bucket as it was last seen.
type link struct {
	bucket  string
	source  string // project
	catalog string // of the source; empty for the target's own
	schema  string // in the source
	live    bool   // its views follow the source
	hidden  bool   // the source cannot be opened now; its views stay as they are
	// shown are the names of its views, by folded name.
	shown map[string]string
	// broken are the names of views in the source that could not be read, likewise.
	broken map[string]string
}

// stale is what may have changed since the linked buckets were last looked after.
type stale struct {
	all   bool
	names map[string]map[string][]string // by source project and folded name: as they were written
	size  int
}

// unknown is what nothing is known of.
var unknown = stale{all: true}

// target returns what is known of a catalog, which at first is nothing.
func (l *Links) target(t *pluginv1.Target) *target {
	key := t.GetProject() + "/" + t.GetBranch()
	if found, ok := l.targets.Load(key); ok {
		return found.(*target)
	}
	found, _ := l.targets.LoadOrStore(key, &target{turn: make(chan struct{}, 1), stale: unknown})
	return found.(*target)
}

// lock waits for the turn and returns the function that gives it back.
func (t *target) lock() (unlock func()) {
	t.turn <- struct{}{}
	return func() { <-t.turn }
}

// outdate notes that the links themselves have changed. The caller has the turn.
func (t *target) outdate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale = unknown
	t.fresh.Store(0)
}

// take returns what is stale, and nothing is any more.
func (t *target) take() stale {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.stale
	t.stale = stale{}
	return out
}

// done notes the end of an attempt that began in an epoch. What was noted as stale
// meanwhile stays so.
func (t *target) done(epoch uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.stale, t.failedAt, t.failedIn = unknown, time.Now(), epoch
		return
	}
	t.failedAt = time.Time{}
	if !t.stale.all && t.stale.size == 0 {
		t.fresh.Store(epoch)
	}
}

// add notes names of definitions in a source.
func (t *target) add(source string, c plan.Changes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stale.add(source, c)
	t.fresh.Store(0)
}

func (s *stale) add(source string, c plan.Changes) {
	names, all := namesOf(c)
	if all || s.all || s.size+len(names) > maxNames {
		*s = unknown
		return
	}
	if s.names == nil {
		s.names = map[string]map[string][]string{}
	}
	if s.names[source] == nil {
		s.names[source] = map[string][]string{}
	}
	for _, n := range names {
		folded := sql.Fold(n)
		if spellings := s.names[source][folded]; !slices.Contains(spellings, n) {
			s.names[source][folded] = append(spellings, n)
			s.size++
		}
	}
}

// namesOf lists the names that tables and views may have begun or ceased to have; all
// is true if it cannot be said.
func namesOf(c plan.Changes) (names []string, all bool) {
	if c.All || c.Shares {
		return nil, true
	}
	for _, d := range c.Definitions {
		switch {
		case d.Temporary:
		case d.Kind == "SCHEMA":
			return nil, true
		case d.Kind != "TABLE" && d.Kind != "VIEW":
		case d.Verb == "ALTER" && mentions(d, "rename"):
			names = append(names, d.Names...)
		case d.Verb != "ALTER" && len(d.Name) > 0:
			names = append(names, d.Name[len(d.Name)-1])
		case d.Verb != "ALTER":
			return nil, true
		}
	}
	return names, false
}

// mentions reports whether a word is in a definition, as a keyword or as a name.
func mentions(d sqltext.Definition, word string) bool {
	return slices.ContainsFunc(d.Names, func(n string) bool { return strings.EqualFold(n, word) })
}

// Changed implements plan.Links.
func (l *Links) Changed(at *pluginv1.Target, c plan.Changes) {
	if at.GetBranch() != plan.DefaultBranch {
		return
	}
	told := map[string]bool{}
	for next := []string{at.GetProject()}; len(next) > 0; next = next[1:] {
		for _, link := range l.Registry.LinksTo(next[0]) {
			switch {
			case next[0] == at.GetProject():
				l.target(place(link.Target)).add(at.GetProject(), c)
			case !told[link.Target]:
				// Its sources are to be looked after, see upstream.
				l.target(place(link.Target)).add(next[0], plan.Changes{})
			}
			if !told[link.Target] {
				told[link.Target] = true
				next = append(next, link.Target)
			}
		}
	}
}

// Guard implements plan.Links.
func (l *Links) Guard(at *pluginv1.Target, d sqltext.Definition) error {
	linked := l.target(at).linked.Load()
	if linked == nil || d.Temporary {
		return nil
	}
	if d.Verb == "CREATE" && d.Kind == "SCHEMA" && !mentions(d, "replace") {
		return nil // the name is taken, which whoever makes the schema says better
	}
	if bucket, ok := (*linked)[sql.Fold(d.In())]; ok {
		return readOnly(bucket)
	}
	return nil
}

// Explain implements plan.Links. DuckDB says of every view alike that it cannot be
// written to.
func (l *Links) Explain(at *pluginv1.Target, text string, err error) error {
	linked := l.target(at).linked.Load()
	if linked == nil || !notBase(err) {
		return err
	}
	tokens, lexErr := sqltext.Lex(text)
	if lexErr != nil {
		return err
	}
	written := sqltext.Qualified(afterVerb(tokens))
	if len(written) < 2 {
		return err
	}
	if bucket, ok := (*linked)[sql.Fold(written[len(written)-2])]; ok {
		return readOnly(bucket)
	}
	return err
}

// notBase reports whether a statement failed because it would write to a view, in the
// words of DuckDB 1.5.6.
func notBase(err error) bool {
	text := err.Error()
	return strings.HasSuffix(text, "is not an table") || strings.Contains(text, "base table")
}

// afterVerb returns what follows the verb of a statement that writes: the name of what
// it writes to. Such a verb comes first, or after the queries of a WITH.
func afterVerb(tokens []sqltext.Token) []sqltext.Token {
	depth := 0
	for i, t := range tokens {
		switch {
		case t.Symbol("("):
			depth++
		case t.Symbol(")"):
			depth--
		case depth > 0:
		case t.Is("into"), t.Is("update") && (i == 0 || !tokens[i-1].Is("do")), t.Is("truncate"), t.Is("from") && i > 0 && tokens[i-1].Is("delete"):
			rest := tokens[i+1:]
			if len(rest) > 0 && rest[0].Is("table") {
				rest = rest[1:]
			}
			return rest
		}
	}
	return nil
}

func readOnly(bucket string) *sdk.Error {
	return sdk.ErrDenied.Errorf("bucket %q is linked and can only be read; what it shows is written at its source, and DELETE …/buckets/%s/link takes it away", bucket, bucket).With("bucket", bucket)
}

// setLinks replaces what is known of the links. The caller has the turn.
func (t *target) setLinks(epoch uint64, links []*link) {
	t.known, t.links = epoch, links
	t.setNames(links)
}

func (t *target) setNames(links []*link) {
	if len(links) == 0 {
		t.linked.Store(nil)
		return
	}
	names := map[string]string{}
	for _, k := range links {
		names[sql.Fold(k.bucket)] = k.bucket
	}
	t.linked.Store(&names)
}

// guard adds a bucket to those that are linked, before its link was read again.
func (t *target) guard(bucket string) {
	names := map[string]string{}
	if old := t.linked.Load(); old != nil {
		maps.Copy(names, *old)
	}
	names[sql.Fold(bucket)] = bucket
	t.linked.Store(&names)
}
