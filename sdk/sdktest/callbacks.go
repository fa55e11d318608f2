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
var writers = []string{"Write", "Lease", "CreateFile", "RegisterFile", "DeleteFile"}

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
	x := h.running
	switch {
	case x == nil || req.GetCallToken() != h.token():
		return refuse(sdk.ErrDenied.Errorf("the call token belongs to no running request")), nil
	case ctx.Err() != nil:
		return none, ctx.Err()
	case slices.Contains(writers, name) && h.commands[x.Command].GetEffect() != pluginv1.Effect_EFFECT_WRITE:
		h.t.Errorf("sdktest: %s makes the callback %s and is not declared with sdk.Writes", x.Command, name)
	}
	i := slices.IndexFunc(h.answers, func(a answer) bool { return a.callback == name && strings.Contains(subject, a.match) })
	if i < 0 {
		h.t.Errorf("sdktest: %s makes a callback that the test has no answer for: %s %s", x.Command, name, subject)
		return refuse(sdk.ErrInternal.Errorf("the test has no answer for this %s", name)), nil
	}
	resp := h.answers[i].response.(Response)
	h.answers = slices.Delete(h.answers, i, i+1)
	x.Callbacks = append(x.Callbacks, Callback{name, req, resp})
	return resp, nil
}

func (c callbacks) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return ask[*pluginv1.QueryResponse](ctx, c, "Query", r, r.GetStatement().GetSql())
}

func (c callbacks) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
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
