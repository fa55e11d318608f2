package e2e_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// hostile are names that mean something to a shell, a URL, SQL, Go or a reader, and
// nothing to the service.
var hostile = []string{
	`a"b`, `"`, `""`, `"quoted"`, `a'b`, `'`, `''; DROP SCHEMA x; --`, `"; DROP SCHEMA x CASCADE; --`, "`a`", `a\b`, `\`, `a;b`, `--`, `-- x`, `*`, `a*`,
	`select`, `SELECT 1`, `table`, `order by`, `null`, `true`, `default`, `schema`, `all`, `in`, `1`, `1e5`, `0x10`, `-1`, `1.5`,
	`main.x`, `x.main`, `temp.x`, `a.b.c`, `.`, `..`, `...`, `.x`, `x.`, `in.c-main`, `in.c-a-b`, `in.c-a_b`, `project_1_main.x`, `projects_1_main`, `_x`, `pg_catalog.x`, `duckdb_tables()`,
	` `, ` a`, `a `, `  `, `a b`, `%2F`, `%00`, `%`, `%%`, `%s`, `a+b`, `a&b=c`, `a#b`, `a?b`, `?`, `$1`, `:x`, `@x`, `#1`, `{x}`, `{bucket}`, `[a]`, `(a)`, `<a>`, `a,b`, `a|b`, `~`, `^`, `!`, `=`,
	`ä.ö`, `Ä`, `ß`, `İ`, `ı`, `ﬀ`, `日本語`, `🦆`, `👩‍👩‍👧`, "e\u0301", "é", "\u202eabc", "\u200b", "\ufeff", "a\u00a0b", "“a”", `Ünïcøde 🦆 'quoted' %2F ?`,
	strings.Repeat("x", 255), strings.Repeat("🦆", 255), strings.Repeat(`"`, 255),
}

// A bucket of any name, with a table of that name, does all that a bucket does, and
// comes to nobody else's.
func TestCase096BucketNamesAreVerbatim(t *testing.T) {
	t.Parallel()
	s := start(t)
	source, target := newMember(t, s, "1"), newMember(t, s, "2")
	source.bucket("x")
	source.table("x", "kept", 2)
	for i, name := range hostile {
		source.bucket(name)
		source.table(name, name, 1+i%5)
	}
	var all listPage[bucketAnswer]
	source.do("GET", source.Path("buckets")+"?limit=1000", nil, &all)
	if len(all.Items) != len(hostile)+1 {
		t.Errorf("there are %d buckets, want %d", len(all.Items), len(hostile)+1)
	}
	for i, name := range hostile {
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			source, target := source, target
			source.t, target.t = t, t
			source.refused(409, "bucket-exists", "POST", source.Path("buckets"), map[string]string{"name": name})
			var updated bucketAnswer
			source.do("PUT", source.Path("buckets", name), map[string]string{"description": name}, &updated)
			if updated.Name != name || updated.Description != name || updated.SizeBytes == 0 {
				t.Errorf("%q: %+v", name, updated)
			}
			target.link(name, source.share(name))
			rows := target.rows(name, name)
			if info := target.info(name, name); len(rows) != 1+i%5 || info.RowsCount != int64(len(rows)) || len(info.PrimaryKey) != 1 || len(target.export(name, name)) != len(rows) {
				t.Errorf("%q: %v, %+v", name, rows, info)
			}
			source.do("DELETE", source.Path("buckets", name, "grant-readonly"), nil, nil)
			if b := source.detail(name); b.ReadOnlyAccess || len(b.Tables) != 1 || b.Tables[0].Name != name {
				t.Errorf("%q: %+v", name, b)
			}
			target.refused(403, "permission-denied", "POST", target.Path("tables"), map[string]any{"bucket": name, "name": "t", "columns": []string{"a"}})
			source.do("DELETE", source.Path("buckets", name, "links", "2")+"?targetBucket="+url.QueryEscape(name), nil, nil)
			target.refused(404, "bucket-not-found", "GET", target.Path("buckets", name), nil)
			source.do("DELETE", source.Path("buckets", name, "share"), nil, nil)
			source.refused(409, "bucket-not-empty", "DELETE", source.Path("buckets", name), nil)
			source.do("DELETE", source.Path("buckets", name)+"?cascade=true", nil, nil)
			source.refused(404, "bucket-not-found", "GET", source.Path("buckets", name), nil)
		})
	}
	source.do("GET", source.Path("buckets")+"?limit=1000", nil, &all)
	if len(all.Items) != 1 || all.Items[0].Name != "x" || len(source.rows("x", "kept")) != 2 {
		t.Errorf("left are %+v", all.Items)
	}
}

// Names that differ in case only are one name, for buckets whatever the letters are: to
// DuckDB they are one for ASCII letters, and two for others.
func TestNamesThatDifferInCase(t *testing.T) {
	t.Parallel()
	m := newMember(t, start(t), "1")
	for _, pair := range [][2]string{{"in.c-main", "IN.c-Main"}, {"Äö", "äÖ"}, {"ПРИВЕТ", "привет"}} {
		m.bucket(pair[0])
		m.refused(409, "bucket-exists", "POST", m.Path("buckets"), map[string]string{"name": pair[1]}, "case")
		m.refused(404, "bucket-not-found", "GET", m.Path("buckets", pair[1]), nil)
		m.refused(404, "bucket-not-found", "POST", m.Path("buckets", pair[1], "share"), map[string]any{})
		m.refused(404, "bucket-not-found", "DELETE", m.Path("buckets", pair[1]), nil)
	}
	// Tables: each has its own key and rows.
	m.table("in.c-main", "Ö", 1)
	must(t, m.CreateTable(t.Context(), "in.c-main", "ö", []string{"a"}))
	m.refused(409, "table-exists", "POST", m.Path("tables"), map[string]any{"bucket": "IN.C-MAIN", "name": "Ö", "columns": []string{"a"}})
	if upper, lower := m.info("in.c-main", "Ö"), m.info("in.c-main", "ö"); len(upper.PrimaryKey) != 1 || !upper.IsTyped || len(lower.PrimaryKey) != 0 || lower.IsTyped {
		t.Errorf("Ö is %+v, ö is %+v", upper, lower)
	}
	m.do("DELETE", m.Path("tables", "in.c-main", "ö"), nil, nil)
	if upper := m.info("in.c-main", "Ö"); len(upper.PrimaryKey) != 1 || upper.RowsCount != 1 {
		t.Errorf("Ö is %+v", upper)
	}
}
