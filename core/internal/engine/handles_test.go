package engine

import (
	gosql "database/sql"
	"database/sql/driver"
	"testing"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2"
)

// The driver keeps its handles to itself. If a new version keeps them elsewhere,
// this fails, and handlesOf must be brought up to date before it is used.
func TestHandlesOfTheDriver(t *testing.T) {
	t.Parallel()
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := gosql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id, err := duckdb.ConnId(conn)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.Raw(func(raw any) error {
		found, err := connectionOf(raw)
		if err != nil {
			return err
		}
		prepared, err := raw.(driver.Conn).Prepare("SELECT ?, ?, ?")
		if err != nil {
			return err
		}
		defer prepared.Close()
		h, err := handlesOf(prepared.(*duckdb.Stmt))
		if err != nil {
			return err
		}
		if n := bindings.NParams(h.stmt); n != 3 {
			t.Errorf("the statement has %d parameters, want 3", n)
		}
		if found.Ptr != h.conn.Ptr {
			t.Error("the connection and its statement have different handles")
		}
		var client bindings.ClientContext
		bindings.ConnectionGetClientContext(h.conn, &client)
		defer bindings.DestroyClientContext(&client)
		if got := uint64(bindings.ClientContextGetConnectionId(client)); got != id {
			t.Errorf("the connection has id %d, want %d", got, id)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestHandlesOfAnotherDriver(t *testing.T) {
	t.Parallel()
	if _, err := handlesOf(&duckdb.Stmt{}); err == nil {
		t.Error("a statement without handles has some")
	}
	for _, other := range []any{nil, &duckdb.Conn{}, &duckdb.Stmt{}} {
		if _, err := connectionOf(other); err == nil {
			t.Errorf("%T has a handle", other)
		}
	}
}
