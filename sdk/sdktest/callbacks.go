package sdktest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Callback is what a handler asked of the host: a request and its answer, as
// they are on the wire.
type Callback struct {
	Name     string // for example "Query"
	Request  proto.Message
	Response proto.Message
}

// writers are the callbacks that a command declared as a read must not make.
var writers = []string{"Write", "Lease", "Transact", "StartJob", "CreateFile", "RegisterFile", "DeleteFile"}

// outsideTransactions are the callbacks that wait for the turn which a transaction of
// the same command holds.
var outsideTransactions = []string{"Write", "Call", "Lease"}

// failure is the answer of a callback that failed, or nil if there is no such
// callback.
func failure(callback string, e *pluginv1.Error) proto.Message {
	switch callback {
	case "Query":
		return &pluginv1.QueryResponse{Error: e}
	case "Write":
		return &pluginv1.WriteResponse{Error: e}
	case "Call":
		return &pluginv1.CallResponse{Error: e}
	case "Lease":
		return &pluginv1.LeaseResponse{Error: e}
	case "Transact":
		return &pluginv1.TransactResponse{Error: e}
	case "StartJob":
		return &pluginv1.StartJobResponse{Error: e}
	case "Progress":
		return &pluginv1.ProgressResponse{Error: e}
	case "CreateFile":
		return &pluginv1.CreateFileResponse{Error: e}
	case "GetFile":
		return &pluginv1.GetFileResponse{Error: e}
	case "RegisterFile":
		return &pluginv1.RegisterFileResponse{Error: e}
	case "DeleteFile":
		return &pluginv1.DeleteFileResponse{Error: e}
	}
	return nil
}

// request is what every callback carries.
type request interface {
	proto.Message
	GetCallToken() string
}

// callbacks is the host as the plugin sees it.
type callbacks struct{ *Host }

// ask records a callback and finds its answer. Like the real host it refuses one
// whose call is over, and like gRPC it fails one whose context is.
func ask[Response proto.Message](ctx context.Context, h callbacks, name string, req request, subject string) (Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var none Response
	refuse := func(e *sdk.Error) Response { return failure(name, e.Proto()).(Response) }
	if err := h.admit(name, req.GetCallToken(), subject); err != nil {
		return refuse(err), nil
	}
	if ctx.Err() != nil {
		return none, ctx.Err()
	}
	resp := h.take(name, subject)
	if resp == nil {
		h.t.Errorf("sdktest: %s makes a callback that the test has no answer for: %s %s", h.running.Command, name, subject)
		return refuse(sdk.ErrInternal.Errorf("the test has no answer for this %s", name)), nil
	}
	h.running.Callbacks = append(h.running.Callbacks, Callback{name, req, resp})
	return resp.(Response), nil
}

// admit refuses a callback whose call is over, and fails the test for one that the
// command or the plugin has not declared. The caller holds the mutex.
func (h *Host) admit(name, token, subject string) *sdk.Error {
	x := h.running
	if x == nil || token != h.token() {
		return sdk.ErrDenied.Errorf("the call token belongs to no running request")
	}
	if h.transaction != nil && slices.Contains(outsideTransactions, name) {
		return errInTransaction(name)
	}
	if slices.Contains(writers, name) && !x.writes {
		h.t.Errorf("sdktest: %s makes the callback %s and is not declared with sdk.Writes", x.Command, name)
	}
	h.demand(x.Command+" makes the callback "+name, permissionOf(name, subject)...)
	return nil
}

// take removes the first answer that fits and returns it, or nil. The caller holds
// the mutex.
func (h *Host) take(name, subject string) proto.Message {
	i := slices.IndexFunc(h.answers, func(a answer) bool { return a.callback == name && strings.Contains(subject, a.match) })
	if i < 0 {
		return nil
	}
	resp := h.answers[i].response
	h.answers = slices.Delete(h.answers, i, i+1)
	return resp
}

func (c callbacks) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return ask[*pluginv1.QueryResponse](ctx, c, "Query", r, r.GetStatement().GetSql())
}

func (c callbacks) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	c.checkEvents(r.GetUnit().GetEvents())
	var text strings.Builder
	for _, s := range r.GetUnit().GetStatements() {
		fmt.Fprintln(&text, s.GetSql())
	}
	return ask[*pluginv1.WriteResponse](ctx, c, "Write", r, text.String())
}

func (c callbacks) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	return ask[*pluginv1.CallResponse](ctx, c, "Call", r, r.GetCommand())
}

// Lease is refused the second time, as by the real host.
func (c callbacks) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	if c.leased() {
		return &pluginv1.LeaseResponse{Error: sdk.ErrConflict.Errorf("a second lease is refused: the command has one").Proto()}, nil
	}
	return ask[*pluginv1.LeaseResponse](ctx, c, "Lease", r, "")
}

// leased reports whether the running command has a lease.
func (c callbacks) leased() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running != nil && slices.ContainsFunc(c.running.Callbacks, func(cb Callback) bool {
		lease, ok := cb.Response.(*pluginv1.LeaseResponse)
		return ok && lease.GetError() == nil
	})
}

func (c callbacks) StartJob(ctx context.Context, r *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error) {
	return ask[*pluginv1.StartJobResponse](ctx, c, "StartJob", r, r.GetCommand())
}

// Progress needs no answer of the test: it is recorded, and refused only by Fail.
func (c callbacks) Progress(ctx context.Context, r *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admit("Progress", r.GetCallToken(), r.GetMessage()); err != nil {
		return &pluginv1.ProgressResponse{Error: err.Proto()}, nil
	}
	if f := r.GetFraction(); f < 0 || f > 1 {
		c.t.Errorf("sdktest: %s makes progress of %v, which is not between 0 and 1", c.running.Command, f)
	}
	resp := &pluginv1.ProgressResponse{}
	if failed, ok := c.take("Progress", r.GetMessage()).(*pluginv1.ProgressResponse); ok {
		resp = failed
	}
	c.running.Callbacks = append(c.running.Callbacks, Callback{"Progress", r, resp})
	return resp, ctx.Err()
}

func (c callbacks) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	return ask[*pluginv1.CreateFileResponse](ctx, c, "CreateFile", r, r.GetSpec().GetName())
}

func (c callbacks) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	return ask[*pluginv1.GetFileResponse](ctx, c, "GetFile", r, r.GetFileId())
}

func (c callbacks) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	return ask[*pluginv1.RegisterFileResponse](ctx, c, "RegisterFile", r, r.GetFileId()+r.GetStagingPath())
}

func (c callbacks) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	return ask[*pluginv1.DeleteFileResponse](ctx, c, "DeleteFile", r, r.GetFileId())
}
