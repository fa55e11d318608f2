package main

import (
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// transact inserts a row in a transaction and dies, before the commit or after it, if
// it is told so.
func transact(c *sdk.Context, in Text) (sdk.None, error) {
	err := c.Transact(func(tx *sdk.Tx) error {
		if _, err := tx.Exec(sql.New("INSERT INTO t VALUES (?)", in.Text)); err != nil {
			return err
		}
		if in.Text == "dies inside" {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	if in.Text == "dies after" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-c.Done()
	}
	return sdk.None{}, err
}

var happened = sdk.Event[Text]{Name: "test.Happened"}

// emit emits an event for each word.
func emit(_ *sdk.Context, in Text) (sdk.Unit, error) {
	var u sdk.Unit
	for _, word := range strings.Fields(in.Text) {
		u.Events = append(u.Events, happened.Of(Text{word}))
	}
	return u, nil
}

// guard is a plugin that hooks and listens. It notes each of both in the table t, and
// misbehaves when the text says so: "veto", "die", "die-once:<file>", which makes the
// file and then is as any other, "busy-once:<file>", which fails for now, and
// "stay-once:<file>", which does not return.
func guard() *sdk.Plugin {
	p := sdk.New("guard", "1.0.0")
	for _, name := range []string{"test.Transact", "test.Lease"} {
		sdk.Before(p, sdk.Command[Text, sdk.None]{Name: name}, func(c *sdk.Context, in Text) error { return guarding(c, "asked", in.Text) })
	}
	sdk.After(p, happened, func(c *sdk.Context, n sdk.Notice[Text]) error { return guarding(c, "heard", n.Payload.Text) })
	return p
}

func guarding(c *sdk.Context, what, text string) error {
	how, path, _ := strings.Cut(text, ":")
	_, err := os.Stat(path)
	first := path != "" && err != nil
	if first {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
	}
	switch {
	case how == "veto":
		return sdk.ErrInvalid.Errorf("no")
	case how == "die", how == "die-once" && first:
		os.Exit(1)
	case how == "busy-once" && first:
		return sdk.ErrUnavailable.Errorf("not now")
	case how == "stay-once" && first:
		time.Sleep(time.Hour)
	}
	_, err = c.Write(sdk.Unit{Do: []sql.Statement{sql.New("INSERT INTO t VALUES (?)", what+" "+how)}})
	return err
}
