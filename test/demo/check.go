package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxListed is how many differences are listed; the rest are counted.
const maxListed = 10

// checker compares rows that come back with the rows that must be there: each
// exactly once, in any order, every value the same.
type checker struct {
	table  table
	want   func(id int64) order
	seen   []bool // by id, from 1
	listed []string
	total  int
}

func newChecker(t table, rows int64, want func(id int64) order) *checker {
	return &checker{table: t, want: want, seen: make([]bool, rows+1)}
}

// row takes one row that came back.
func (c *checker) row(got []field) {
	if len(got) != len(columns) {
		c.differ("a row has %d fields, want %d: %v", len(got), len(columns), got)
		return
	}
	id, err := strconv.ParseInt(got[0].text, 10, 64)
	if err != nil || id < 1 || id >= int64(len(c.seen)) {
		c.differ("a row has id %v, want 1 to %d", got[0], len(c.seen)-1)
		return
	}
	if c.seen[id] {
		c.differ("row %d came twice", id)
		return
	}
	c.seen[id] = true
	for i, want := range c.table.fields(c.want(id)) {
		if !c.table.same(columns[i], got[i], want) {
			c.differ("row %d, column %s: got %v, want %v", id, columns[i].Name, got[i], want)
		}
	}
}

// done returns every difference as one error, missing rows included.
func (c *checker) done() error {
	for id, seen := range c.seen {
		if id > 0 && !seen {
			c.differ("row %d is missing", id)
		}
	}
	return c.err()
}

// err is done for a part of the rows: the missing ones do not count.
func (c *checker) err() error {
	if c.total == 0 {
		return nil
	}
	list := strings.Join(c.listed, "\n  ")
	if more := c.total - len(c.listed); more > 0 {
		list += fmt.Sprintf("\n  and %d more", more)
	}
	return fmt.Errorf("%d differences:\n  %s", c.total, list)
}

func (c *checker) differ(format string, args ...any) {
	c.total++
	if len(c.listed) < maxListed {
		c.listed = append(c.listed, fmt.Sprintf(format, args...))
	}
}

// same compares values, not spellings: 1e-05 and 0.00001 are one double. In a
// string table they are two texts.
func (t table) same(c column, got, want field) bool {
	if got == want {
		return true
	}
	if !t.typed || got.null || want.null || c.normal == nil {
		return false
	}
	g, err := c.normal(got.text)
	if err != nil {
		return false
	}
	w, err := c.normal(want.text)
	return err == nil && g == w
}

// readRows reads a CSV file with a header and calls each for every row. The field
// slice is reused.
//
// An empty field is NULL and "" is the empty text. encoding/csv gives the same for
// both, so they are told apart by where the next field starts.
func readRows(r io.Reader, each func([]field)) error {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty, not even a header")
	}
	if err != nil {
		return err
	}
	if names := columnNames(); !slices.Equal(header, names) {
		return fmt.Errorf("the header is %q, want %q", header, names)
	}
	row := make([]field, len(columns))
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, text := range record {
			row[i] = field{text: text, null: text == "" && isBare(in, i, len(record))}
		}
		each(row)
	}
}

// isBare reports whether an empty field has no quotes.
func isBare(in *csv.Reader, i, fields int) bool {
	if i+1 == fields {
		return false // nothing follows to measure by; the last column has no NULL
	}
	_, start := in.FieldPos(i)
	_, next := in.FieldPos(i + 1)
	return next-start == len(",")
}

func columnNames() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return names
}
