package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// clients is how many of mixed ask at the same time, each for one thing after the
// other.
const clients = 8

// request is one kind of request of a mix.
type request struct {
	name string
	ask  func(ctx context.Context, n int64) error // n differs from request to request
}

// cycle is the mix as indices of kinds: half previews, a third point reads, the
// rest aggregates.
var cycle = []int{0, 1, 0, 1, 0, 2}

// mixed has eight clients ask for different things, without and then beside
// imports into another table of the project. A request that fails, fails it.
func mixed(ctx context.Context, b *bench) error {
	kinds := b.kinds()
	alone, err := mix(ctx, kinds, time.Duration(b.seconds)*time.Second)
	if err != nil {
		return err
	}
	var beside []times
	var imports int
	over, end := context.WithCancel(ctx)
	defer end()
	err = together(ctx,
		func(ctx context.Context) (err error) {
			defer end()
			beside, err = mix(ctx, kinds, time.Duration(b.seconds)*time.Second)
			return err
		},
		func(ctx context.Context) error {
			for ; over.Err() == nil; imports++ {
				if _, err := b.serviceImport(texts)(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "\nmixed: %d clients for %d s, no request failed; imports beside them: %d\n", clients, b.seconds, imports)
	fmt.Fprintf(b.out, "%-12s %-18s %10s %10s %10s %10s\n", "", "", "requests/s", "p50 ms", "p99 ms", "greatest")
	for i, kind := range kinds {
		b.mixLine(kind.name, "alone", alone[i])
		b.mixLine("", "beside an import", beside[i])
		fmt.Fprintf(b.out, "%-12s %-18s %10.2f %10.2f %10.2f\n", "", "ratio", float64(len(beside[i]))/float64(len(alone[i])),
			beside[i].median().Seconds()/alone[i].median().Seconds(), beside[i].at(0.99).Seconds()/alone[i].at(0.99).Seconds())
	}
	return nil
}

func (b *bench) mixLine(name, when string, t times) {
	fmt.Fprintf(b.out, "%-12s %-18s %10.1f %10s %10s %10s\n", name, when, float64(len(t))/float64(b.seconds),
		ms(t.median()), ms(t.at(0.99)), ms(t.at(1)))
}

// mix has all clients ask until the time is over and returns how long each kind of
// request took.
func mix(ctx context.Context, kinds []request, length time.Duration) ([]times, error) {
	var mu sync.Mutex
	out := make([]times, len(kinds))
	end := time.Now().Add(length)
	client := func(number int64) func(context.Context) error {
		return func(ctx context.Context) error {
			for n := number; ; n += clients {
				// Each client begins at another place of the cycle.
				kind := cycle[(n/clients+number)%int64(len(cycle))]
				took, err := timed(ctx, func(ctx context.Context) error { return kinds[kind].ask(ctx, n) })
				if err != nil {
					return fmt.Errorf("%s: %w", kinds[kind].name, err)
				}
				mu.Lock()
				out[kind] = append(out[kind], took)
				mu.Unlock()
				// A short run asks for each kind, too.
				if time.Now().After(end) && n >= clients*int64(len(cycle)) {
					return nil
				}
			}
		}
	}
	all := make([]func(context.Context) error, clients)
	for i := range all {
		all[i] = client(int64(i))
	}
	return out, together(ctx, all...)
}

// kinds are the requests that cycle mixes, on the table typed.
func (b *bench) kinds() []request {
	from := `FROM "` + bucket + `".` + typed.name
	preview := fmt.Sprintf("%s?limit=%d", b.tablePath(typed, "preview"), previewRows)
	return []request{
		{"preview", func(ctx context.Context, _ int64) error {
			return b.plain(ctx, http.MethodGet, preview, "application/json", nil, io.Discard)
		}},
		{"point read", func(ctx context.Context, n int64) error {
			// A step that has no divisor in common with most counts of rows spreads the ids.
			return b.wantResult(ctx, 1, "SELECT * "+from+" WHERE id = ?", 1+n*7919%b.rows)
		}},
		{"aggregate", func(ctx context.Context, _ int64) error {
			return b.wantResult(ctx, int64(len(countries)), "SELECT country, count(*), sum(amount), avg(price) "+from+" GROUP BY country")
		}},
	}
}

func (b *bench) wantResult(ctx context.Context, rows int64, sql string, params ...any) error {
	got, err := b.project.Query(ctx, sql, params...)
	if err != nil {
		return err
	}
	return wantRows("the answer of "+sql, int64(len(got)), rows)
}
