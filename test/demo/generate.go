package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// column is a column of the demo's table and how its text is compared.
type column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Length   string `json:"length,omitempty"`
	Nullable bool   `json:"nullable"`

	// normal gives one value one spelling; nil takes the text as it is.
	normal func(string) (string, error)
}

// columns are the table's, in the order of the file. The nullable one is not the
// last: see readRows.
var columns = []column{
	{Name: "id", Type: "INTEGER"},
	{Name: "day", Type: "DATE"},
	{Name: "amount", Type: "NUMERIC", Length: "12,2"},
	{Name: "customer", Type: "STRING"},
	{Name: "note", Type: "STRING", Nullable: true},
	{Name: "paid", Type: "BOOLEAN"},
	{Name: "ordered_at", Type: "TIMESTAMP", normal: normalTime},
	{Name: "weight", Type: "FLOAT", normal: normalFloat},
}

// table is one that the demo fills: typed, or of texts.
type table struct {
	name  string
	typed bool
}

// fields are the values of a row in the table: texts know no NULL, so that of
// the source is the empty text there.
func (t table) fields(o order) []field {
	out := o.fields()
	for i := range out {
		out[i].null = out[i].null && t.typed
	}
	return out
}

// order is one row.
type order struct {
	id        int64
	day       time.Time
	cents     int64
	customer  string
	note      field
	paid      bool
	orderedAt time.Time
	weight    float64
}

// field is one value as text; NULL and the empty text differ.
type field struct {
	text string
	null bool
}

func (f field) String() string {
	if f.null {
		return "NULL"
	}
	return strconv.Quote(f.text)
}

func (o order) fields() []field {
	return []field{
		{text: strconv.FormatInt(o.id, 10)},
		{text: o.day.Format(time.DateOnly)},
		{text: decimal(o.cents)},
		{text: o.customer},
		o.note,
		{text: strconv.FormatBool(o.paid)},
		{text: o.orderedAt.Format(timeLayout)},
		{text: strconv.FormatFloat(o.weight, 'g', -1, 64)},
	}
}

// customers are names that a careless CSV reader or writer gets wrong.
var customers = []string{
	`Plain Trading`,
	`O'Brien "Bob" & Sons, Ltd.`,
	"Two Lines\nof Name",
	"\nstarts and ends with a break\n",
	`"`,
	`""quoted""`,
	`back\slash\" and \N`,
	`NULL`,
	` blanks around `,
	"tab\there; semicolon | pipe",
	`Žluťoučký kůň`,
	"e\u0301 is not \u00e9", // two spellings of é must stay two
	`北京市第一百货商店`,
	`👩‍👩‍👧‍👦 & 🧺, "picnics"`,
	`مكتبة بغداد، فرع ٢`,
	`שלום, "עולם"`,
	"mixed שלום abc\u202e reversed\u202c",
	`=SUM(A1:A9)`,
}

var notes = []string{"fragile", "call first,\nthen \"ring twice\"", "null", `\N`, "0", "''", "спасибо", "🎁"}

const timeLayout = "2006-01-02 15:04:05.999999"

// firstDay and days span a leap year.
var firstDay = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const days = 366

// makeOrder returns row number id. It depends on the seed and the number alone, so
// that the checks need not keep the rows.
func makeOrder(seed uint64, id int64) order {
	r := rand.New(rand.NewPCG(seed, uint64(id)))
	o := order{
		id:        id,
		day:       firstDay.AddDate(0, 0, r.IntN(days)),
		cents:     r.Int64N(2_000_000) - 100_000, // refunds are negative
		customer:  customers[r.IntN(len(customers))],
		note:      field{null: true},
		paid:      r.IntN(4) > 0,
		orderedAt: firstDay.Add(time.Duration(r.Int64N(days*24*3600*1e6)) * time.Microsecond),
		weight:    (r.Float64() - 0.5) * math.Pow10(r.IntN(40)-20),
	}
	if r.IntN(3) > 0 {
		o.customer += fmt.Sprintf(" #%d", r.IntN(5000))
	}
	if r.IntN(2) > 0 {
		o.note = field{text: notes[r.IntN(len(notes))]}
	}
	return o
}

// writeOrders writes a CSV file with a header and rows 1 to n.
func writeOrders(w io.Writer, seed uint64, n int64) error {
	out := csv.NewWriter(w)
	record := make([]string, len(columns))
	for i, c := range columns {
		record[i] = c.Name
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for id := int64(1); id <= n; id++ {
		for i, f := range makeOrder(seed, id).fields() {
			record[i] = f.text // NULL is an empty field
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func decimal(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

func normalTime(s string) (string, error) {
	t, err := time.Parse(timeLayout, s)
	return t.Format(timeLayout), err
}

func normalFloat(s string) (string, error) {
	f, err := strconv.ParseFloat(s, 64)
	return strconv.FormatFloat(f, 'g', -1, 64), err
}
