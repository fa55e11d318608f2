package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
)

// What is noted of a text is never less than what it defines.
func TestNote(t *testing.T) {
	t.Parallel()
	table := sqltext.Definition{Verb: "CREATE", Kind: "TABLE", Name: []string{"s", "t"}}
	for text, want := range map[string]Changes{
		"": {}, ";": {}, " -- c": {},
		"INSERT INTO s.t VALUES (1)": {}, "insert into s.t values (';');": {}, "/* c */ FROM s.t": {}, "-- CREATE\nUPDATE s.t SET a = 1": {}, "WITH x AS (SELECT 1) DELETE FROM s.t": {},
		"CREATE TABLE s.t (a INTEGER)": {Definitions: []sqltext.Definition{table}}, "/* c */ create or replace table s.\"t\" as select ';';": {Definitions: []sqltext.Definition{table}},
		"INSERT INTO s.u VALUES (1); CREATE TABLE s.t (a INTEGER);": {Definitions: []sqltext.Definition{table}}, "CREATE TABLE s.t (a INTEGER); PRAGMA x": {Definitions: []sqltext.Definition{table}, All: true},
		"PREPARE p AS CREATE TABLE s.t (a INTEGER)": {All: true}, "EXECUTE p": {All: true},
		"EXPLAIN ANALYZE CREATE TABLE s.t AS SELECT 1": {All: true}, "CREATE TABLE s.t AS SELECT 'x": {All: true}, "SELECT 'x;": {All: true}, "PRAGMA x": {All: true},
		`INSERT INTO "__storage"."shares" VALUES ('a')`: {Shares: true}, "DELETE FROM __storage.shares": {Shares: true}, "INSERT INTO s.shares VALUES (1)": {},
	} {
		var got Changes
		got.note(text)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(sqltext.Definition{}, "Names")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if got.Any() != (len(want.Definitions) > 0 || want.All || want.Shares) {
			t.Errorf("%q: any is %v", text, got.Any())
		}
	}
	var many Changes
	for range maxDefinitions + 1 {
		many.note("CREATE TABLE s.t (a INTEGER)")
	}
	if !many.All || len(many.Definitions) != maxDefinitions {
		t.Errorf("of many definitions %d are noted, all %v", len(many.Definitions), many.All)
	}
}

func BenchmarkNoteInsert(b *testing.B) {
	var c Changes
	for b.Loop() {
		c.note("INSERT INTO \"in.c-main\".\"orders\" SELECT * FROM \"in.c-main\".\"staging\" WHERE a > 5")
	}
}
