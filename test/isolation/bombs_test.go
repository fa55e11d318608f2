package isolation_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// bomb is a statement that wants more than there is: of time, memory or stack.
type bomb struct{ name, statement string }

func nested(open, inner, end string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

func series(n int, item func(int) string, separator string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = item(i)
	}
	return strings.Join(items, separator)
}

func always(text string) func(int) string { return func(int) string { return text } }

var bombs = []bomb{
	{"endless recursion", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"},
	{"cross joins", "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000000) c WHERE a.range + b.range > c.range"},
	{"range as a list", "SELECT len(range(1000000000000))"},
	{"list of lists", "SELECT len(list(range(1000000))) FROM range(1000000)"},
	{"long text", "SELECT length(repeat('x', 9000000000))"},
	{"many long texts", "SELECT sum(length(repeat('x', 100000000))) FROM range(1000)"},
	{"texts in a list", "SELECT length(string_agg(repeat('x', 1000000), ',')) FROM range(100000)"},
	{"format", "SELECT length(printf('%20000000d', 1))"},
	{"group of everything", "SELECT count(*) FROM (SELECT i, hash(i) FROM range(2000000000) r(i) GROUP BY ALL)"},
	{"regex", "SELECT regexp_matches(repeat('a', 100000), '(a*)*b')"},
	{"large regex", "SELECT regexp_matches('a', '((((a{1,100}){1,100}){1,100}){1,100}){1,100}')"},
	{"cartesian lists", "SELECT len(flatten([[x + y for x in range(300)] for y in range(300)]))"},
	{"huge number", "SELECT 10::HUGEINT ** 1000, factorial(1000000)"},
	{"write of everything", "CREATE TABLE own.bomb AS SELECT hash(i) AS a, hash(i + 1) AS b FROM range(100000000000) r(i)"},
	{"large IN", "SELECT 1 IN (" + series(100_000, strconv.Itoa, ",") + ")"},
	{"large literal", "SELECT length('" + strings.Repeat("x", 1_000_000) + "')"},
	{"too large", "SELECT length('" + strings.Repeat("x", 2_000_000) + "')"},
	{"brackets", "SELECT " + nested("(", "1", ")", 190)},
	{"too many brackets", "SELECT " + nested("(", "1", ")", 100_000)},
	{"subqueries", "SELECT " + nested("(SELECT ", "1", ")", 190)},
	{"subqueries of tables", "SELECT * FROM " + nested("(SELECT * FROM ", "own.t", ")", 190)},
	{"lists in lists", "SELECT " + nested("[", "1", "]", 190)},
	{"structs in structs", "SELECT " + nested("{'a': ", "1", "}", 60)},
	{"cases", "SELECT " + nested("CASE WHEN true THEN ", "1", " END", 2_000)},
	{"sum", "SELECT " + series(5_000, always("1"), "+")},
	{"concatenation", "SELECT " + series(5_000, always("'a'"), "||")},
	{"or", "SELECT " + series(3_000, func(i int) string { return fmt.Sprintf("%d = 1", i) }, " OR ")},
	{"not", "SELECT " + strings.Repeat("NOT ", 9_000) + "true"},
	{"minus", "SELECT " + strings.Repeat("- ", 9_000) + "1"},
	{"casts", "SELECT 1" + strings.Repeat("::INTEGER", 4_000)},
	{"dots", "SELECT a" + strings.Repeat(".a", 4_000)},
	{"indexes", "SELECT a" + strings.Repeat("[1]", 30_000)},
	{"methods", "SELECT ('a')" + strings.Repeat(".lower()", 3_000)},
	{"arrows", "SELECT '{}'" + strings.Repeat("->'a'", 4_000)},
	{"arrays of types", "SELECT NULL::INTEGER" + strings.Repeat("[]", 30_000)},
	{"lambdas", "SELECT " + nested("list_transform([1], lambda x: ", "x", ")", 190)},
	{"arrow lambdas", "SELECT " + nested("list_transform([1], x -> ", "x", ")", 190)},
	{"comprehensions", "SELECT " + nested("[", "1", " for x in [1]]", 190)},
	{"fewer lambdas", "SELECT " + nested("list_transform([1], lambda x: ", "x", ")", 12)},
	{"unions", series(2_400, always("SELECT 1"), " UNION ALL ")},
	{"many unions", series(20_000, always("SELECT 1, 2"), " UNION ALL ")},
	{"intersections", series(2_400, always("SELECT 1"), " INTERSECT ")},
	{"joins", "SELECT count(*) FROM own.t" + strings.Repeat(" NATURAL JOIN own.t", 2_000)},
	{"cross products", "SELECT count(*) FROM " + series(2_000, always("(SELECT 1)"), ", ")},
	{"CTEs", "WITH " + series(2_000, func(i int) string { return fmt.Sprintf("a%d AS (SELECT 1 AS n)", i) }, ", ") + " SELECT 1"},
	{"exponential CTEs", "WITH a0 AS (SELECT 1 AS n), " + series(40, func(i int) string { return fmt.Sprintf("a%d AS (SELECT a.n FROM a%d a, a%d b)", i+1, i, i) }, ", ") + " SELECT count(*) FROM a40"},
}

// more are bombs of the long form, of kinds that are among the others.
var more = []bomb{
	{"doubling recursion", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT unnest([n, n + 1]) FROM r) SELECT count(*) FROM r"},
	{"large range", "SELECT sum(range) FROM range(1000000000000000000)"},
	{"padding", "SELECT length(lpad('x', 20000000, 'y'))"},
	{"sort of everything", "SELECT max(i) FROM (SELECT i, hash(i) AS h FROM range(2000000000) r(i) ORDER BY h LIMIT 1000000000)"},
	{"window of everything", "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS n FROM range(2000000000) r(i))"},
	{"list of growing lists", "SELECT len(list_transform(range(3000), lambda x: range(3000)))"},
	{"permutation of columns", "SELECT * FROM range(100000) a, range(100000) b ORDER BY 1 - a.range * b.range"},
	{"large VALUES", "SELECT count(*) FROM (VALUES " + series(100_000, func(i int) string { return fmt.Sprintf("(%d)", i) }, ",") + ")"},
	{"many columns", "SELECT " + series(20_000, strconv.Itoa, ",")},
	{"functions", "SELECT " + nested("abs(", "1", ")", 190)},
	{"grouping sets", "SELECT count(*) FROM own.t GROUP BY CUBE (" + series(40, func(i int) string { return fmt.Sprintf("id + %d", i) }, ", ") + ")"},
	{"windows", "SELECT " + series(2_000, func(i int) string { return fmt.Sprintf("sum(id) OVER (ORDER BY id + %d)", i) }, ", ") + " FROM own.t"},
	{"pivots", "PIVOT own.t ON " + series(10, func(i int) string { return "id IN (" + series(100, strconv.Itoa, ", ") + ")" }, ", ") + " USING count(*)"},
}

// maxRSS bounds the memory of the service, whose engine has 600 MB: DuckDB keeps what
// statements hold outside of its buffers beside that.
const maxRSS = 2 << 30

// full asks for the long form: ISOLATION_FULL=1 go test ./test/isolation.
var full = os.Getenv("ISOLATION_FULL") != ""

// Nothing that a statement wants ends the service, takes memory without bound, or
// keeps others from being served.
func TestBombs(t *testing.T) {
	t.Parallel()
	w := open(t)
	all, seconds := bombs, 1
	if full {
		all, seconds = append(slices.Clone(bombs), more...), 5
	}
	w.unchanged(t, func() {
		for _, x := range all {
			start := time.Now()
			served := w.serving(t, w.b)
			got := ask(t, w.a, map[string]any{"sql": x.statement, "timeoutSeconds": seconds, "limit": 10})
			slowest := served()
			if took := time.Since(start); took > 30*time.Second || slowest > 10*time.Second {
				t.Errorf("%s: took %v, and others waited up to %v", x.name, took, slowest)
			}
			if got.status >= 500 && got.status != 503 && got.status != 507 {
				t.Errorf("%s: %d %s", x.name, got.status, got.message)
			}
			rss := w.rss(t)
			t.Logf("%-24s %8v, others %8v, %5d MB: %d %.120s", x.name, time.Since(start).Round(time.Millisecond), slowest.Round(time.Millisecond), rss>>20, got.status, got.message)
			if rss > maxRSS {
				t.Fatalf("%s: the service has %d MB", x.name, rss>>20)
			}
		}
	})
}

// serving asks for a small thing again and again until the function that it returns is
// called, which tells how long the slowest answer took.
func (w world) serving(t *testing.T, p service.Project) (end func() time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	slowest := make(chan time.Duration)
	go func() {
		var most time.Duration
		for {
			start := time.Now()
			if _, err := p.Query(t.Context(), "SELECT id FROM private.t"); err != nil {
				t.Errorf("another project is not served: %v", err)
			}
			most = max(most, time.Since(start))
			select {
			case <-ctx.Done():
				slowest <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() time.Duration {
		cancel()
		return <-slowest
	}
}

// rss is the memory of the service.
func (w world) rss(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.PID()))
	if err != nil {
		t.Skip("no /proc to ask for memory")
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatalf("no memory in %s", status)
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
