package pluginhost_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// A callback comes from another process, with a context that knows nothing of the
// request. It still ends with the project of that: the next one of the same id is another.
func TestCallbacksDoNotReachTheNextProject(t *testing.T) {
	t.Parallel()
	var f *fixture.Host
	var h *pluginhost.Host
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Do"), func(*sdk.Context, input) (output, error) {
		ctx := context.Background()
		if err := errors.Join(f.Registry.BeginDrop(ctx, "1"), f.Engine.Drop(ctx, engine.Project(f.Layout, "1", plan.DefaultBranch)),
			f.Files.DropProject(ctx, "1"), f.Registry.Forget(ctx, "1")); err != nil {
			t.Error(err)
		}
		f.CreateProject("1")
		late := everyCallback(t, h.CallbacksOf("x"), h.Tokens()[0])
		for _, name := range []string{"Query", "Write", "CreateFile", "Transact"} {
			if late[name].GetCode() != sdk.ErrProjectNotFound.Slug {
				t.Errorf("%s: %v", name, late[name])
			}
		}
		return output{}, nil
	}, sdk.Writes())
	f, h = hostOf(t, p)
	f.Files.Registry.Guard(f.Registry)
	asked := call("x.Do", `{"name":""}`, false)
	if _, err := h.Invoke(f.Registry.Within(t.Context(), "1"), asked); err != nil {
		t.Error(err)
	}
	if files, err := f.Files.Registry.All(t.Context()); err != nil || len(files) > 0 {
		t.Errorf("files of the next project: %v, %v", files, err)
	}
}
