package isolation_test

import (
	"strings"
	"testing"
)

// A key that only reads writes nothing by SQL, and reads what is granted to readers,
// linked buckets included.
func TestQueriesOfReaders(t *testing.T) {
	t.Parallel()
	w := open(t)
	var key struct {
		APIKey string `json:"apiKey"`
	}
	if _, err := w.a.Do(t.Context(), "POST", w.a.Path("keys"), map[string]any{"permissions": []string{"read"}}, &key); err != nil {
		t.Fatal(err)
	}
	reader := w.a
	reader.Key = key.APIKey
	for _, statement := range []string{"INSERT INTO own.t VALUES (9, 'x')", "DELETE FROM own.t", "CREATE TABLE own.x (a INTEGER)", "DROP TABLE own.t", "INSERT INTO own.t SELECT 1, 'x' WHERE nextval('own.q') > 0"} {
		if got := ask(t, reader, map[string]any{"sql": statement}); got.status != 403 || !strings.Contains(got.message, "query:write") {
			t.Errorf("%s: %d %s", statement, got.status, got.body)
		}
	}
	granted := func(bucket string, want bool, statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if got := ask(t, reader, map[string]any{"sql": statement}); (got.message == "") != want || !want && !strings.Contains(got.message, bucket) {
				t.Errorf("%s: %d %s, want an answer: %v", statement, got.status, got.body, want)
			}
		}
	}
	for _, x := range []struct {
		bucket     string
		statements []string
	}{
		{"own", []string{"FROM own.t", "SELECT count(*) FROM own.t"}},
		{"linked", []string{"FROM linked.orders", "SELECT count(*) FROM linked.orders"}},
	} {
		granted(x.bucket, true, x.statements...)
		if _, err := w.a.Do(t.Context(), "DELETE", w.a.Path("buckets", x.bucket, "grant-readonly"), nil, nil); err != nil {
			t.Fatal(err)
		}
		granted(x.bucket, false, x.statements...)
		if got := ask(t, w.a, map[string]any{"sql": x.statements[0]}); got.message != "" {
			t.Errorf("who may write: %s", got.message)
		}
		if _, err := w.a.Do(t.Context(), "POST", w.a.Path("buckets", x.bucket, "grant-readonly"), nil, nil); err != nil {
			t.Fatal(err)
		}
		granted(x.bucket, true, x.statements...)
	}
}
