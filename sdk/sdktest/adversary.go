package sdktest

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// adversary is a host that answers no callback well: each fails, at once or when
// what meets it says so. It knows which calls run.
type adversary struct {
	mu      sync.Mutex
	running map[string]bool       // by token
	late    []string              // callbacks of calls that were over
	meet    func(context.Context) // before each failure; nil is nothing
}

func newAdversary() *adversary { return &adversary{running: map[string]bool{}} }

// begin marks a call as running until end.
func (a *adversary) begin(token string) (end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running[token] = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.running, token)
	}
}

// meeting sets what meets the callbacks from now on.
func (a *adversary) meeting(meet func(context.Context)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.meet = meet
}

// refuse answers a callback.
func refuse[Response proto.Message](ctx context.Context, a *adversary, name string, r request) (Response, error) {
	a.mu.Lock()
	if !a.running[r.GetCallToken()] {
		a.late = append(a.late, name)
	}
	meet := a.meet
	a.mu.Unlock()
	if meet != nil {
		meet(ctx)
	}
	e := sdk.ErrUnavailable.Errorf("this host answers no %s", name)
	return failure(name, e.Proto()).(Response), ctx.Err()
}

func (a *adversary) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return refuse[*pluginv1.QueryResponse](ctx, a, "Query", r)
}

func (a *adversary) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	return refuse[*pluginv1.WriteResponse](ctx, a, "Write", r)
}

func (a *adversary) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	return refuse[*pluginv1.CallResponse](ctx, a, "Call", r)
}

func (a *adversary) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	return refuse[*pluginv1.LeaseResponse](ctx, a, "Lease", r)
}

func (a *adversary) Transact(s pluginv1.HostService_TransactServer) error {
	r, err := s.Recv()
	if err != nil {
		return err
	}
	resp, err := refuse[*pluginv1.TransactResponse](s.Context(), a, "Transact", r)
	if err != nil {
		return err
	}
	return s.Send(resp)
}

func (a *adversary) StartJob(ctx context.Context, r *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error) {
	return refuse[*pluginv1.StartJobResponse](ctx, a, "StartJob", r)
}

func (a *adversary) Progress(ctx context.Context, r *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error) {
	return refuse[*pluginv1.ProgressResponse](ctx, a, "Progress", r)
}

func (a *adversary) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	return refuse[*pluginv1.CreateFileResponse](ctx, a, "CreateFile", r)
}

func (a *adversary) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	return refuse[*pluginv1.GetFileResponse](ctx, a, "GetFile", r)
}

func (a *adversary) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	return refuse[*pluginv1.RegisterFileResponse](ctx, a, "RegisterFile", r)
}

func (a *adversary) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	return refuse[*pluginv1.DeleteFileResponse](ctx, a, "DeleteFile", r)
}

var _ pluginv1.HostServiceServer = (*adversary)(nil)
