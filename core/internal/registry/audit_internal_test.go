package registry

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// A clock that was ahead for a moment leaves ids in order, and dates no later entry.
func TestAuditAfterAClockThatWasAhead(t *testing.T) {
	t.Parallel()
	ahead := ulid.Timestamp(time.Now().AddDate(5, 0, 0))
	ids := auditIDs{last: ahead, entropy: ulid.Monotonic(rand.Reader, 0)}
	before := ulid.MustNew(ahead-1, rand.Reader).String()
	for range 10_000 {
		id, at := ids.next()
		if id <= before {
			t.Fatalf("%s after %s", id, before)
		}
		if time.Since(at).Abs() > time.Hour {
			t.Fatalf("dated %s", at)
		}
		before = id
	}
}
