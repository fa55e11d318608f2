package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
)

// figure is a line of the demo's report: what was paid in a month, and who
// brought most of it.
type figure struct {
	month    string
	orders   int64
	revenue  string
	customer string
	brought  string
}

// figuresSQL computes the report; %s is the table. The casts change nothing in
// the typed table. Of two customers who brought the same the first by name counts.
const figuresSQL = `
WITH paid AS (
	SELECT left(day::VARCHAR, 7) AS month, customer, count(*) AS orders, sum(amount::DECIMAL(12,2)) AS revenue
	FROM %s WHERE paid::BOOLEAN GROUP BY ALL)
SELECT month, sum(orders)::BIGINT, sum(revenue),
	first(customer ORDER BY revenue DESC, customer), max(revenue)
FROM paid GROUP BY month ORDER BY month`

// figuresOf computes the same from the source, in whole cents.
func figuresOf(rows int64, source func(id int64) order) []figure {
	type month struct {
		orders, cents int64
		by            map[string]int64 // cents by customer
	}
	months := map[string]*month{}
	for id := int64(1); id <= rows; id++ {
		o := source(id)
		if !o.paid {
			continue
		}
		name := o.day.Format("2006-01")
		m := months[name]
		if m == nil {
			m = &month{by: map[string]int64{}}
			months[name] = m
		}
		m.orders++
		m.cents += o.cents
		m.by[o.customer] += o.cents
	}
	var out []figure
	for _, name := range slices.Sorted(maps.Keys(months)) {
		m := months[name]
		customers := slices.Sorted(maps.Keys(m.by))
		best := customers[0]
		for _, c := range customers {
			if m.by[c] > m.by[best] {
				best = c
			}
		}
		out = append(out, figure{month: name, orders: m.orders, revenue: decimal(m.cents), customer: best, brought: decimal(m.by[best])})
	}
	return out
}

// figuresFrom reads the rows that the query answered with.
func figuresFrom(rows [][]any) ([]figure, error) {
	var out []figure
	for i, row := range rows {
		if len(row) != 5 {
			return nil, fmt.Errorf("row %d of the answer has %d values, want 5: %v", i+1, len(row), row)
		}
		month, ok1 := row[0].(string)
		orders, ok2 := row[1].(float64)
		revenue, ok3 := row[2].(string)
		customer, ok4 := row[3].(string)
		brought, ok5 := row[4].(string)
		if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
			return nil, fmt.Errorf("row %d of the answer is %#v, want text, number, text, text, text", i+1, row)
		}
		out = append(out, figure{month, int64(orders), revenue, customer, brought})
	}
	return out, nil
}

// compareFigures returns the first difference.
func compareFigures(got, want []figure) error {
	if len(got) != len(want) {
		return fmt.Errorf("the query found %d months, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("the query answered %+v, want %+v", got[i], want[i])
		}
	}
	return nil
}

// printFigures writes the report. Names are quoted: some hold line breaks.
func printFigures(w io.Writer, figures []figure) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "month\torders\trevenue\tof the best customer\t  who is")
	for _, f := range figures {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t  %s\n", f.month, count(f.orders), f.revenue, f.brought, strconv.Quote(f.customer))
	}
	return t.Flush()
}
