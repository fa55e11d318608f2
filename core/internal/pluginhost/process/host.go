package process

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// serveHost offers the callbacks to the plugin and returns the broker id under
// which the plugin finds them. The server ends with the connection.
//
// It returns when the host listens: a plugin that dials before that waits five
// seconds and then fails with a timeout that explains nothing.
func (c *connection) serveHost(ctx context.Context, broker *goplugin.GRPCBroker, host pluginv1.HostServiceServer, log hclog.Logger) (uint32, error) {
	id := broker.NextId()
	listening := make(chan struct{})
	ended := make(chan struct{})
	c.callbacks.Go(func() {
		defer close(ended)
		broker.AcceptAndServe(id, func(tls []grpc.ServerOption) *grpc.Server {
			defer close(listening)
			server := grpc.NewServer(append(tls,
				grpc.MaxRecvMsgSize(pluginv1.MaxMessageBytes),
				grpc.MaxSendMsgSize(pluginv1.MaxMessageBytes),
				grpc.ChainUnaryInterceptor(recoverUnary(log)),
				grpc.ChainStreamInterceptor(recoverStream(log)),
			)...)
			pluginv1.RegisterHostServiceServer(server, host)
			return server
		})
	})
	select {
	case <-listening:
		return id, nil
	case <-ended:
		return 0, errors.New("the host cannot listen for its callbacks: is the runtime directory writable?")
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// recoverUnary turns a panic in a callback into an error of that callback: a
// bug that one request meets must not end the host.
func recoverUnary(log hclog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer func() {
			if v := recover(); v != nil {
				err = panicked(log, info.FullMethod, v)
			}
		}()
		return next(ctx, req)
	}
}

// recoverStream is recoverUnary for streams.
func recoverStream(log hclog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = panicked(log, info.FullMethod, v)
			}
		}()
		return next(srv, stream)
	}
}

func panicked(log hclog.Logger, method string, v any) error {
	log.Error("panic in a callback", "method", method, "panic", v, "stack", string(debug.Stack()))
	return status.Errorf(codes.Internal, "the host failed in %s; its log says why", method)
}
