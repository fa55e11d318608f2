package projects

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Query runs one SQL statement of a user.
var Query = sdk.Command[QueryRequest, QueryResponse]{Name: "query.Execute", Summary: "Run one SQL statement: reads in parallel, writes through the queue."}

// QueryRequest is the statement.
type QueryRequest struct {
	SQL            string  `json:"sql"`
	Params         []Param `json:"params,omitempty" jsonschema:"values for the ? marks of the statement, in order"`
	TimeoutSeconds int     `json:"timeoutSeconds,omitempty" jsonschema:"default and most 3600"`
	Limit          *int64  `json:"limit,omitempty" jsonschema:"rows to return at most; null or 0 is all"`
}

// Param is a text, number, boolean or null.
type Param struct{ Value any }

// JSONSchema describes the four types.
func (Param) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Types: []string{"string", "number", "boolean", "null"}}
}

// UnmarshalJSON keeps integers exact.
func (p *Param) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if err := d.Decode(&p.Value); err != nil {
		return err
	}
	n, ok := p.Value.(json.Number)
	if !ok {
		return nil
	}
	if i, err := n.Int64(); err == nil {
		p.Value = i
		return nil
	}
	f, err := n.Float64()
	p.Value = f
	return err
}

// QueryResponse is the outcome. An error of the statement is an outcome, too:
// status "error" with a message.
type QueryResponse struct {
	Status       string          `json:"status" jsonschema:"ok or error; with error there is only the message"`
	RowsAffected *int64          `json:"rowsAffected,omitzero" jsonschema:"null for a read"`
	Message      string          `json:"message"`
	Columns      []engine.Column `json:"columns,omitzero"`
	Rows         [][]any         `json:"rows,omitzero"`
}

const maxQueryTime = time.Hour

// What a statement takes: the command itself asks for ReadQuery, and a statement that
// changes something for WriteQuery.
const (
	ReadQuery  = "query:read"
	WriteQuery = "query:write"
)

func (c *Commands) query(ctx *sdk.Context, in QueryRequest) (sdk.Plan, error) {
	timeout := maxQueryTime
	if in.TimeoutSeconds > 0 {
		timeout = min(timeout, time.Duration(in.TimeoutSeconds)*time.Second)
	}
	target := &pluginv1.Target{Project: ctx.Project(), Branch: ctx.Branch()}
	s, err := c.Executor.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	judged, err := s.Inspect(sql.Raw(in.SQL, values(in.Params)...))
	s.Close()
	if err != nil {
		if c.Executor.Links != nil {
			err = c.Executor.Links.Explain(target, in.SQL, err)
		}
		return answerError(err)
	}
	statement := judged.Statement
	if judged.Intent == engine.Reads {
		if shorthand.MatchString(statement.SQL()) {
			statement = sql.New("SELECT * FROM (?\n)", statement)
		}
		rows := sdk.Rows{
			Statement: statement, Head: readHead{Status: "ok"}, TypedColumns: true, ErrorsAreAnswers: true, Timeout: timeout,
		}
		if in.Limit != nil {
			rows.MaxRows = uint64(max(*in.Limit, 0))
		}
		return rows, nil
	}
	if !ctx.Allows(WriteQuery) {
		return nil, sdk.ErrDenied.Errorf("a statement that changes something takes the permission %s, which the key %s does not have", WriteQuery, ctx.Subject())
	}
	if err := c.mayDrop(ctx, judged.Definition); err != nil {
		return answerError(err)
	}
	bounded, cancel := ctx.WithTimeout(timeout)
	defer cancel()
	out, err := bounded.Write(sdk.Unit{Do: []sql.Statement{claim, statement}})
	if err != nil {
		return answerError(err)
	}
	n := out.RowsAffected[1]
	return sdk.JSON{Value: QueryResponse{
		Status: "ok", RowsAffected: &n, Message: fmt.Sprintf("Statement executed successfully: %d rows affected.", n),
		Columns: []engine.Column{}, Rows: [][]any{},
	}}, nil
}

// mayDrop refuses to drop a bucket that is shared and linked, as the route for that does
// without force. A link that is just being made is not seen.
func (c *Commands) mayDrop(ctx *sdk.Context, d sqltext.Definition) error {
	if d.Verb != "DROP" || d.Kind != "SCHEMA" || ctx.Branch() != plan.DefaultBranch {
		return nil
	}
	bucket := d.In()
	linked := slices.ContainsFunc(c.Registry.LinksTo(ctx.Project()), func(l registry.Link) bool { return sql.Fold(l.SourceBucket) == sql.Fold(bucket) })
	if !linked {
		return nil
	}
	type share struct{}
	shares, err := sdk.Query[share](ctx, sql.New("SELECT handle FROM __storage.shares WHERE ?", sql.SameName("bucket", bucket)))
	if err != nil || len(shares) == 0 { // what is not shared any more shows nothing
		return err
	}
	return hostapi.ErrBucketLinked.Errorf("bucket %q is linked into other buckets; DELETE …/buckets/%s?cascade=true&force=true ends the share, removes the links and drops it", bucket, bucket).With("bucket", bucket)
}

// shorthand matches reads that DuckDB takes inside a SELECT but cannot describe
// by themselves.
var shorthand = regexp.MustCompile(`(?i)^(show|describe|desc|summarize|pivot|unpivot)\b`)

// claim makes the project's catalog the one that the transaction writes to.
// DuckDB then refuses writes of the user's statement to any other.
var claim = sql.New("DELETE FROM __storage.buckets WHERE name = ''")

// readHead is what an answer with rows says besides them.
type readHead struct {
	Status       string `json:"status"`
	RowsAffected *int64 `json:"rowsAffected"`
	Message      string `json:"message"`
}

// answerError makes an error of the statement the answer.
func answerError(err error) (sdk.Plan, error) {
	var e *sdk.Error
	if errors.As(err, &e) && engine.ErrIsStatement(e) {
		return sdk.JSON{Value: (&plan.StatementError{Err: e}).JSON()}, nil
	}
	return nil, err
}

func values(params []Param) []any {
	out := make([]any, len(params))
	for i, p := range params {
		out[i] = p.Value
	}
	return out
}
