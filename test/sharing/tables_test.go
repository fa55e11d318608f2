package sharing_test

import (
	"slices"
	"strings"
)

// What projects do to tables of their own.

func (a *actor) createTable(id string) bool {
	bucket, b := a.own(id)
	if b == nil {
		return false
	}
	name := a.name("t")
	if a.draw.IntN(3) == 0 && b.tables["again"] == nil {
		name = "again"
	}
	a.note("%s: create table %s.%s", id, bucket, name)
	body := map[string]any{"bucket": bucket, "name": name, "columns": []map[string]string{{"name": "x", "type": "VARCHAR"}, {"name": "y", "type": "VARCHAR"}}, "primaryKey": []string{}}
	a.check(a.do(id, "POST", []string{"tables"}, "", body, nil), "")
	b.tables[name] = &table{columns: []string{"x", "y"}}
	return true
}

func (a *actor) dropTable(id string) bool {
	at, t := a.stored(id)
	if t == nil {
		return false
	}
	a.note("%s: drop table %s", id, at)
	a.check(a.do(id, "DELETE", []string{"tables", at.bucket, at.table}, "", nil, nil), "")
	delete(a.projects[id].buckets[at.bucket].tables, at.table)
	return true
}

func (a *actor) addColumn(id string) bool {
	at, t := a.stored(id)
	if t == nil {
		return false
	}
	name, value := a.name("c"), a.name("v")
	a.sql(id, "ALTER TABLE %s ADD COLUMN %s VARCHAR DEFAULT '%s'", at, name, value)
	t.columns = append(t.columns, name)
	for i := range t.rows {
		t.rows[i] = append(t.rows[i], value)
	}
	return true
}

func (a *actor) dropColumn(id string) bool {
	at, t := a.stored(id)
	if t == nil || len(t.columns) < 3 {
		return false
	}
	last := len(t.columns) - 1
	a.sql(id, "ALTER TABLE %s DROP COLUMN %s", at, t.columns[last])
	t.columns = t.columns[:last]
	for i := range t.rows {
		t.rows[i] = t.rows[i][:last]
	}
	return true
}

// row is one with values of its own.
func (a *actor) row(t *table) []string {
	r := make([]string, len(t.columns))
	for i := range r {
		r[i] = a.name("v")
	}
	return r
}

func (a *actor) insert(id string) bool {
	at, t := a.stored(id)
	if t == nil {
		return false
	}
	r := a.row(t)
	a.sql(id, "INSERT INTO %s VALUES ('%s')", at, strings.Join(r, "', '"))
	t.rows = append(t.rows, r)
	return true
}

func (a *actor) update(id string) bool {
	at, t := a.stored(id)
	if t == nil || len(t.rows) == 0 {
		return false
	}
	r, value := t.rows[a.draw.IntN(len(t.rows))], a.name("v")
	a.sql(id, "UPDATE %s SET y = '%s' WHERE x = '%s'", at, value, r[0])
	r[1] = value
	return true
}

func (a *actor) deleteRows(id string) bool {
	at, t := a.stored(id)
	if t == nil || len(t.rows) == 0 {
		return false
	}
	i := a.draw.IntN(len(t.rows))
	a.sql(id, "DELETE FROM %s WHERE x = '%s'", at, t.rows[i][0])
	t.rows = slices.Delete(t.rows, i, i+1)
	return true
}

func (a *actor) importFile(id string) bool {
	at, t := a.stored(id)
	if t == nil {
		return false
	}
	rows := make([][]string, a.draw.IntN(4))
	text := strings.Join(t.columns, ",") + "\n"
	for i := range rows {
		rows[i] = a.row(t)
		text += strings.Join(rows[i], ",") + "\n"
	}
	a.note("%s: import %d rows into %s", id, len(rows), at)
	a.check(a.imported(id, at, text), "")
	t.rows = rows
	return true
}

func (s *system) imported(id string, at place, text string) error {
	p := s.project(id)
	file, err := p.Upload(s.t.Context(), "rows.csv", strings.NewReader(text))
	if err == nil {
		_, err = p.Import(s.t.Context(), at.bucket, at.table, file.ID)
	}
	return err
}
