package main

import (
	"bufio"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

// column is a column of the benchmark's file: its name, its type in the API and
// the DuckDB type which that becomes.
type column struct {
	name, apiType, length, duckType string
}

var columns = []column{
	{"id", "INTEGER", "", "BIGINT"},
	{"account", "INTEGER", "", "BIGINT"},
	{"amount", "NUMERIC", "12,2", "DECIMAL(12,2)"},
	{"price", "FLOAT", "", "DOUBLE"},
	{"active", "BOOLEAN", "", "BOOLEAN"},
	{"day", "DATE", "", "DATE"},
	{"created", "TIMESTAMP", "", "TIMESTAMP"},
	{"country", "STRING", "", "VARCHAR"},
	{"name", "STRING", "", "VARCHAR"},
	{"note", "STRING", "", "VARCHAR"},
}

var (
	countries = []string{"CZ", "DE", "FR", "GB", "PL", "SK", "US", "UA"}
	words     = []string{"lorem", "ipsum", "dolor", "sit", "amet", "žluťoučký", "kůň", "consectetur", "elit", "sed", "tempor", "magna"}
)

// generate writes a CSV file of at least the given size with a header and returns
// its rows. It is the same file each time: a quarter of the notes is empty and an
// eighth is quoted.
func generate(path string, minBytes int64) (rows int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	var line []byte
	for i, c := range columns {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, c.name...)
	}
	line = append(line, '\n')
	r := rand.New(rand.NewPCG(1, 2))
	for written := int64(0); ; rows++ {
		n, err := w.Write(line)
		if err != nil {
			return 0, err
		}
		if written += int64(n); written >= minBytes {
			break
		}
		line = appendRow(line[:0], r, rows+1)
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return rows, f.Sync()
}

var epoch = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func appendRow(b []byte, r *rand.Rand, id int64) []byte {
	b = strconv.AppendInt(b, id, 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, r.Int64N(1e9), 10)
	b = append(b, ',')
	b = strconv.AppendFloat(b, float64(r.Int64N(2e8)-1e7)/100, 'f', 2, 64)
	b = append(b, ',')
	b = strconv.AppendFloat(b, r.Float64()*1e4, 'g', -1, 64)
	b = append(b, ',')
	b = strconv.AppendBool(b, r.IntN(3) > 0)
	b = append(b, ',')
	created := epoch.Add(time.Duration(r.Int64N(6*365*24*3600)) * time.Second)
	b = created.AppendFormat(b, time.DateOnly)
	b = append(b, ',')
	b = created.AppendFormat(b, "2006-01-02 15:04:05")
	b = append(b, ',')
	b = append(b, countries[r.IntN(len(countries))]...)
	b = append(b, ',')
	b = append(b, words[r.IntN(len(words))]...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.Int64N(1e6), 10)
	b = append(b, ',')
	return append(appendNote(b, r), '\n')
}

func appendNote(b []byte, r *rand.Rand) []byte {
	kind := r.IntN(8)
	if kind < 2 {
		return b
	}
	separator := ` `
	if kind == 2 {
		separator = `, ""`
		b = append(b, '"')
	}
	for i := range 3 + r.IntN(6) {
		if i > 0 {
			b = append(b, separator...)
		}
		b = append(b, words[r.IntN(len(words))]...)
	}
	if kind == 2 {
		b = append(b, '"')
	}
	return b
}
