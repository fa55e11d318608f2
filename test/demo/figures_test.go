package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFiguresOf(t *testing.T) {
	t.Parallel()
	day := func(month time.Month) time.Time { return time.Date(2024, month, 29, 0, 0, 0, 0, time.UTC) }
	orders := []order{
		{day: day(2), cents: 100, customer: "b", paid: true},
		{day: day(2), cents: 60, customer: "a", paid: true},
		{day: day(2), cents: 40, customer: "a", paid: true}, // as much as b
		{day: day(1), cents: -5, customer: "refund", paid: true},
		{day: day(3), cents: 100, customer: "not paid"},
	}
	got := figuresOf(int64(len(orders)), func(id int64) order { return orders[id-1] })
	want := []figure{
		{month: "2024-01", orders: 1, revenue: "-0.05", customer: "refund", brought: "-0.05"},
		{month: "2024-02", orders: 3, revenue: "2.00", customer: "a", brought: "1.00"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(figure{})); diff != "" {
		t.Error(diff)
	}
	if got := figuresOf(0, nil); len(got) != 0 {
		t.Errorf("no rows have figures %v", got)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 100000: "100,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s, want %s", n, got, want)
		}
	}
}
