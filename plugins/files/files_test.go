package files_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/plugins/files"
	"github.com/keboola/duckdb-storage/plugins/files/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func plugin() *sdk.Plugin { return files.Plugin("1.0.0") }

func TestConform(t *testing.T) {
	t.Parallel()
	sdktest.Conform(t, plugin)
}

func TestConformBinary(t *testing.T) {
	t.Parallel()
	sdktest.ConformBinary(t, sdktest.Build(t, "../../cmd/plugin-files"))
}

// file is one as the host knows it.
func file(state string) sdk.FileInfo {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	expires := created.AddDate(0, 0, 15)
	return sdk.FileInfo{
		ID: "7", Name: "orders.csv", Created: created, Expires: &expires, State: state, SizeBytes: 20, ContentType: "text/csv",
		Path: "staging/7-orders.csv", HostPath: "/data/files/project_demo/staging/7-orders.csv",
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnCreateFile("orders.csv", file(sdk.FilePrepared))
	h.OnCreateFile("kept.csv", file(sdk.FilePrepared))
	sdktest.Golden(t, "prepare",
		sdktest.Invoke(h, api.Prepare, api.PrepareRequest{Name: "orders.csv", SizeBytes: 20, ContentType: "text/csv", Tags: []string{"a", "b"}, MaxAgeDays: 3}),
		sdktest.Invoke(h, api.Prepare, api.PrepareRequest{Name: "kept.csv", IsPermanent: true}),
		sdktest.Invoke(h, api.Prepare, api.PrepareRequest{Name: "sliced.csv", IsSliced: true}))
}

func TestRegister(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnRegisterFile("7", file(sdk.FileRegistered))
	h.OnRegisterFile("staging/", file(sdk.FileRegistered))
	h.OnRegisterFile("staging/", file(sdk.FileRegistered))
	sdktest.Golden(t, "register",
		sdktest.Invoke(h, api.Register, api.RegisterRequest{ID: "7"}),
		sdktest.Invoke(h, api.Register, api.RegisterRequest{Path: "staging/deep/orders.csv"}),
		sdktest.Invoke(h, api.Register, api.RegisterRequest{Path: "staging/x", Name: "orders.csv", ContentType: "text/csv", Tags: []string{"a"}, IsPermanent: true, MaxAgeDays: 3}))
}

func TestRegisterNeedsOneSource(t *testing.T) {
	t.Parallel()
	for _, in := range []api.RegisterRequest{{}, {ID: "7", Path: "staging/x"}} {
		if err := sdktest.Invoke(sdktest.New(t, plugin()), api.Register, in).Err(); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%+v: %v, want invalid", in, err)
		}
	}
}

func TestOneFile(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnGetFile("7", file(sdk.FileUploaded))
	h.OnDeleteFile("7")
	one := api.FileRequest{File: "7"}
	sdktest.Golden(t, "one",
		sdktest.Invoke(h, api.Get, one), sdktest.Invoke(h, api.Receive, one), sdktest.Invoke(h, api.Download, one), sdktest.Invoke(h, api.Delete, one))
}

// Where the bytes are on the host is no client's business.
func TestHostPathStaysInside(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnGetFile("7", file(sdk.FileUploaded))
	got := sdktest.Answer[map[string]any](t, sdktest.Invoke(h, api.Get, api.FileRequest{File: "7"}))
	for name, value := range got {
		if value == file("").HostPath || value == file("").Path {
			t.Errorf("%s shows %v", name, value)
		}
	}
	if len(got) == 0 {
		t.Error("the answer is empty")
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	missing := sdk.ErrFileNotFound.Errorf("file %q does not exist", "7")
	for _, callback := range []string{"GetFile", "DeleteFile", "RegisterFile", "CreateFile"} {
		h := sdktest.New(t, plugin())
		h.Fail(callback, "7", missing)
		x := map[string]func() *sdktest.Exchange{
			"GetFile":      func() *sdktest.Exchange { return sdktest.Invoke(h, api.Get, api.FileRequest{File: "7"}) },
			"DeleteFile":   func() *sdktest.Exchange { return sdktest.Invoke(h, api.Delete, api.FileRequest{File: "7"}) },
			"RegisterFile": func() *sdktest.Exchange { return sdktest.Invoke(h, api.Register, api.RegisterRequest{ID: "7"}) },
			"CreateFile":   func() *sdktest.Exchange { return sdktest.Invoke(h, api.Prepare, api.PrepareRequest{Name: "7"}) },
		}[callback]()
		if err := x.Err(); !errors.Is(err, sdk.ErrFileNotFound) {
			t.Errorf("%s: %v, want not found", callback, err)
		}
	}
}
