package crash_test

import (
	"context"
	"fmt"

	"github.com/google/go-cmp/cmp"
)

// inserts writes one number after the other by SQL.
type inserts struct{ now, next int }

func (*inserts) prepare(ctx context.Context, c clients) error {
	if err := c.main.CreateBucket(ctx, "in.c-insert"); err != nil {
		return err
	}
	_, err := c.main.Query(ctx, `CREATE TABLE "in.c-insert".numbers (n BIGINT)`)
	return err
}

func (i *inserts) step(ctx context.Context, c clients) error {
	i.next = i.now + 1
	if _, err := c.main.Query(ctx, `INSERT INTO "in.c-insert".numbers VALUES (?)`, i.next); err != nil {
		return err
	}
	i.now = i.next
	return nil
}

func (i *inserts) check(ctx context.Context, c clients) error {
	rows, err := c.main.Query(ctx, `SELECT count(*), count(DISTINCT n), coalesce(max(n), 0) FROM "in.c-insert".numbers`)
	if err != nil {
		return err
	}
	got := rows[0]
	for _, n := range []int{i.now, i.next} {
		if cmp.Equal(got, []any{float64(n), float64(n), float64(n)}) {
			i.now, i.next = n, n
			return nil
		}
	}
	return fmt.Errorf("count, distinct and highest number are %v, want all %d or all %d", got, i.now, i.next)
}
