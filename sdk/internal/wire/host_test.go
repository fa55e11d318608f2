package wire

import (
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

type serverStream = grpc.BidiStreamingServer[pluginv1.TransactRequest, pluginv1.TransactResponse]

// overBoth runs fn as a plugin whose host serves transactions with serve, once in one
// process and once over gRPC.
func overBoth(t *testing.T, serve func(serverStream) error, fn func(*testing.T, context.Context, Host)) {
	h := host{transact: serve}
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		fn(t, t.Context(), InProcess(h))
	})
	t.Run("grpc", func(t *testing.T) {
		t.Parallel()
		client, _ := connect(t, plugin{func(ctx context.Context, h Host, _ *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
			fn(t, ctx, h)
			return &pluginv1.InvokeResponse{}
		}}, h)
		if _, err := client.Invoke(t.Context(), &pluginv1.InvokeRequest{}); err != nil {
			t.Fatal(err)
		}
	})
}

// Each request has its response, until the host has done what was asked.
func TestTransact(t *testing.T) {
	t.Parallel()
	overBoth(t, func(s serverStream) error {
		for n := int64(1); ; n++ {
			if _, err := s.Recv(); err != nil {
				return nil //nolint:nilerr // the end of the stream
			}
			if err := s.Send(&pluginv1.TransactResponse{RowsAffected: n}); err != nil {
				return err
			}
		}
	}, func(t *testing.T, ctx context.Context, h Host) {
		tx, err := h.Transact(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		for n := int64(1); n <= 3; n++ {
			if err := tx.Send(&pluginv1.TransactRequest{}); err != nil {
				t.Errorf("request %d: %v", n, err)
			}
			if got, err := tx.Recv(); err != nil || got.GetRowsAffected() != n {
				t.Errorf("response %d: %v, %v", n, got, err)
			}
		}
		if err := tx.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := tx.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// An error of the host is what Recv says, and Send that it has something to say.
func TestTransactRefused(t *testing.T) {
	t.Parallel()
	overBoth(t, func(serverStream) error { return status.Error(codes.FailedPrecondition, "no") },
		func(t *testing.T, ctx context.Context, h Host) {
			tx, err := h.Transact(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if err := tx.Send(&pluginv1.TransactRequest{}); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("Send: %v", err)
			}
			if _, err := tx.Recv(); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("Recv: %v", err)
			}
		})
}

// A plugin that gives up ends what the host does for it, whatever it waits for.
func TestTransactCancelled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ wait func(serverStream) error }{
		"while the host reads": {func(s serverStream) error { _, err := s.Recv(); return err }},
		"while the host works": {func(s serverStream) error { <-s.Context().Done(); return s.Context().Err() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began, ended := make(chan struct{}, 2), make(chan error, 2)
			overBoth(t, func(s serverStream) error {
				if _, err := s.Recv(); err != nil {
					return err
				}
				began <- struct{}{}
				err := tt.wait(s)
				ended <- err
				return err
			}, func(t *testing.T, ctx context.Context, h Host) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				tx, err := h.Transact(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				if err := tx.Send(&pluginv1.TransactRequest{}); err != nil {
					t.Error(err)
				}
				<-began
				cancel()
				if err := <-ended; err == nil || errors.Is(err, io.EOF) {
					t.Errorf("the host's part ended with %v", err)
				}
				if _, err := tx.Recv(); err == nil || errors.Is(err, io.EOF) {
					t.Errorf("Recv: %v", err)
				}
			})
		})
	}
}
