package plan

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Lease waits for the catalog's turn and keeps it. Units that run in a context
// made with its Within join it.
func (x *Executor) Lease(ctx context.Context, target *pluginv1.Target) (*queue.Lease, error) {
	if target.GetProject() == "" {
		return nil, sdk.ErrInvalid.Errorf("this command works on no project, so there is nothing to lease")
	}
	return x.Queue.Lease(ctx, disk.CatalogName(target.GetProject(), target.GetBranch()))
}
