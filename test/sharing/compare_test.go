package sharing_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// view is what is seen of a project.
type view struct {
	Buckets map[string]bucketView
	Rows    map[string][]string // of tables that can be read, by bucket and name
}

type bucketView struct {
	Linked, ReadOnly bool
	Source           string
	Available        bool
	Tables           []string
}

// expected is what should be seen of a project.
func (m *model) expected(p *project) view {
	out := view{Buckets: map[string]bucketView{}, Rows: map[string][]string{}}
	for name, b := range p.buckets {
		shown := m.shown(b)
		v := bucketView{Linked: b.link != nil, ReadOnly: b.link != nil, Tables: append([]string{}, sorted(shown)...)}
		if b.link != nil {
			v.Source, v.Available = b.link.project+"/"+b.link.bucket, shown != nil
		}
		out.Buckets[name] = v
		for t := range shown {
			if found := m.find(p, place{name, t}); found != nil {
				out.Rows[name+"/"+t] = found.json()
			}
		}
	}
	return out
}

// json is what the rows look like, with the names of the columns first.
func (t *table) json() []string {
	out := []string{}
	for _, r := range t.rows {
		var members []string
		for i, c := range t.columns {
			members = append(members, fmt.Sprintf("%s=%s", c, r[i]))
		}
		out = append(out, strings.Join(members, " "))
	}
	slices.Sort(out)
	return append([]string{strings.Join(t.columns, " ")}, out...)
}

// seen is what is seen of a project. readable are the tables that can be read.
func (s *system) seen(id string, readable []string) (view, error) {
	out := view{Buckets: map[string]bucketView{}, Rows: map[string][]string{}}
	var list struct {
		Items []struct{ Name string }
	}
	if err := s.do(id, "GET", []string{"buckets"}, "?limit=1000", nil, &list); err != nil {
		return out, err
	}
	for _, item := range list.Items {
		var b struct {
			IsLinked, IsReadOnly bool
			SourceBucket         *struct {
				ProjectID, Name string
				IsAvailable     bool
			}
			Tables []struct{ Name string }
		}
		if err := s.do(id, "GET", []string{"buckets", item.Name}, "", nil, &b); err != nil {
			return out, err
		}
		v := bucketView{Linked: b.IsLinked, ReadOnly: b.IsReadOnly, Tables: []string{}}
		if b.SourceBucket != nil {
			v.Source, v.Available = b.SourceBucket.ProjectID+"/"+b.SourceBucket.Name, b.SourceBucket.IsAvailable
		}
		for _, t := range b.Tables {
			v.Tables = append(v.Tables, t.Name)
		}
		out.Buckets[item.Name] = v
	}
	return out, s.rows(id, readable, out.Rows)
}

// rows reads tables in one query, which also gives them all at one moment.
func (s *system) rows(id string, readable []string, to map[string][]string) error {
	if len(readable) == 0 {
		return nil
	}
	var parts []string
	for _, name := range readable {
		bucket, table, _ := strings.Cut(name, "/")
		of := quote(bucket) + "." + quote(table)
		// The row of NULLs is there for a table without rows: its columns are looked at, too.
		parts = append(parts, fmt.Sprintf("SELECT '%s' AS t, to_json(r)::VARCHAR AS j FROM (SELECT * FROM %s) AS r UNION ALL SELECT '%s', to_json(r)::VARCHAR FROM (SELECT o.* FROM (SELECT 1) LEFT JOIN (SELECT * FROM %s LIMIT 0) AS o ON true) AS r",
			name, of, name, of))
	}
	rows, err := s.query(id, strings.Join(parts, " UNION ALL "))
	if err != nil {
		return fmt.Errorf("%v: %w", readable, err)
	}
	for _, r := range rows {
		line, header, err := members(r[1].(string))
		if err != nil {
			return err
		}
		name := r[0].(string)
		if len(to[name]) == 0 {
			to[name] = []string{header}
		}
		if line != "" {
			to[name] = append(to[name], line)
		}
	}
	for _, lines := range to {
		slices.Sort(lines[1:])
	}
	return nil
}

// members writes a JSON object as the model does. line is empty for a row of NULLs.
func members(object string) (line, header string, err error) {
	d := json.NewDecoder(strings.NewReader(object))
	var names, values []string
	for depth := 0; d.More() || depth == 0; {
		token, err := d.Token()
		if err != nil {
			return "", "", err
		}
		if token == json.Delim('{') {
			depth++
			continue
		}
		value, err := d.Token()
		if err != nil {
			return "", "", err
		}
		name := token.(string)
		names = append(names, name)
		if value != nil {
			values = append(values, fmt.Sprintf("%s=%v", name, value))
		}
	}
	return strings.Join(values, " "), strings.Join(names, " "), nil
}

// compare checks that every project sees what it should.
func (s *system) compare(m *model) error {
	for _, id := range sorted(m.projects) {
		want := m.expected(m.projects[id])
		got, err := s.seen(id, sorted(want.Rows))
		if err != nil {
			return fmt.Errorf("project %s: %w", id, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("project %s sees (-want +got):\n%s", id, diff)
		}
	}
	return nil
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
