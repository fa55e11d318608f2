package wire

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Host is what a handler may ask of the host, wherever that is.
type Host interface {
	Query(context.Context, *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error)
	Write(context.Context, *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error)
	Call(context.Context, *pluginv1.CallRequest) (*pluginv1.CallResponse, error)
	Lease(context.Context, *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error)
	// Transact opens a transaction, which ends with the stream, or with ctx.
	Transact(ctx context.Context) (Transaction, error)
	StartJob(context.Context, *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error)
	Progress(context.Context, *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error)
	CreateFile(context.Context, *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error)
	GetFile(context.Context, *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error)
	RegisterFile(context.Context, *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error)
	DeleteFile(context.Context, *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error)
}

// Transaction is a plugin's end of the stream that is a transaction.
type Transaction interface {
	Send(*pluginv1.TransactRequest) error
	Recv() (*pluginv1.TransactResponse, error)
	CloseSend() error
}

// remoteHost is a host at the other end of a connection.
type remoteHost struct{ c pluginv1.HostServiceClient }

func (h remoteHost) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	return h.c.Query(ctx, r)
}

func (h remoteHost) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	return h.c.Write(ctx, r)
}

func (h remoteHost) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	return h.c.Call(ctx, r)
}

func (h remoteHost) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	return h.c.Lease(ctx, r)
}

func (h remoteHost) Transact(ctx context.Context) (Transaction, error) { return h.c.Transact(ctx) }

func (h remoteHost) StartJob(ctx context.Context, r *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error) {
	return h.c.StartJob(ctx, r)
}

func (h remoteHost) Progress(ctx context.Context, r *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error) {
	return h.c.Progress(ctx, r)
}

func (h remoteHost) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	return h.c.CreateFile(ctx, r)
}

func (h remoteHost) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	return h.c.GetFile(ctx, r)
}

func (h remoteHost) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	return h.c.RegisterFile(ctx, r)
}

func (h remoteHost) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	return h.c.DeleteFile(ctx, r)
}

// IsTooLarge tells of a message that is over MaxMessageBytes.
func IsTooLarge(err error) bool { return status.Code(err) == codes.ResourceExhausted }

// InProcess is a host in the plugin's own process.
func InProcess(server pluginv1.HostServiceServer) Host { return localHost{server} }

type localHost struct{ pluginv1.HostServiceServer }

// Transact runs the server's method beside the caller, with a stream in memory
// between them.
func (h localHost) Transact(ctx context.Context) (Transaction, error) {
	s := &stream{
		ctx: ctx, requests: make(chan *pluginv1.TransactRequest), responses: make(chan *pluginv1.TransactResponse),
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		s.err = h.HostServiceServer.Transact(serverEnd{stream: s})
	}()
	return s, nil
}

// stream is the client's end of a stream in memory; it behaves as one of gRPC.
type stream struct {
	ctx       context.Context
	requests  chan *pluginv1.TransactRequest
	responses chan *pluginv1.TransactResponse
	sent      sync.Once     // closes requests
	done      chan struct{} // the server has returned
	err       error         // of the server, valid after done
}

func (s *stream) Send(r *pluginv1.TransactRequest) error {
	select {
	case s.requests <- r:
		return nil
	case <-s.done:
		return io.EOF // Recv says why
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func (s *stream) Recv() (*pluginv1.TransactResponse, error) {
	select {
	case r := <-s.responses:
		return r, nil
	case <-s.done:
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
}

func (s *stream) CloseSend() error {
	s.sent.Do(func() { close(s.requests) })
	return nil
}

// serverEnd is the other end.
type serverEnd struct {
	*stream
	grpc.ServerStream // for headers and trailers, of which the contract has none
}

func (s serverEnd) Context() context.Context { return s.ctx }

func (s serverEnd) Recv() (*pluginv1.TransactRequest, error) {
	select {
	case r, ok := <-s.requests:
		if !ok {
			return nil, io.EOF
		}
		return r, nil
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}

func (s serverEnd) Send(r *pluginv1.TransactResponse) error {
	select {
	case s.responses <- r:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func (s serverEnd) SendMsg(any) error { return errors.ErrUnsupported }
func (s serverEnd) RecvMsg(any) error { return errors.ErrUnsupported }
