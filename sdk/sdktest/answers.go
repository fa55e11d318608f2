package sdktest

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// answer waits for its callback.
//
// A callback takes the first answer that is left for it and whose match occurs
// in it: in the SQL of a Query, a Write or a statement of a transaction, in the name
// of a command that is called or started as a job, in the message of a Progress, in
// the id, staging path or name of a file. An empty match fits all.
type answer struct {
	callback, match string
	response        proto.Message
}

func (a answer) String() string { return fmt.Sprintf("%s %q", a.callback, a.match) }

// maxQueryBytes is what the host returns to a Query at most.
const maxQueryBytes = 1 << 20

// OnQuery answers the next Query whose SQL contains match with rows: structs or
// maps, with a member for each column.
func (h *Host) OnQuery(match string, rows ...any) {
	h.t.Helper()
	if rows == nil {
		rows = []any{}
	}
	raw := h.marshal(rows)
	if len(rows) > sdk.MaxQueryRows || len(raw) > maxQueryBytes {
		h.Fail("Query", match, sdk.ErrTooLarge.Errorf("the result has over %d rows or 1 MiB", sdk.MaxQueryRows))
		return
	}
	h.on("Query", match, &pluginv1.QueryResponse{Rows: raw})
}

// OnWrite answers the next Write with the row of its Answer, or nil, and the
// rows that each statement changed.
func (h *Host) OnWrite(match string, row any, affected ...int64) {
	h.t.Helper()
	resp := &pluginv1.WriteResponse{RowsAffected: affected}
	if row != nil {
		resp.Answer = h.marshal(row)
	}
	h.on("Write", match, resp)
}

// OnCall answers the next call of a command.
func (h *Host) OnCall(command string, response any) {
	h.t.Helper()
	h.on("Call", command, &pluginv1.CallResponse{Json: h.marshal(response)})
}

// OnStartJob answers the next start of a command as a job with the id of the job.
func (h *Host) OnStartJob(command, id string) {
	h.on("StartJob", command, &pluginv1.StartJobResponse{JobId: id})
}

// OnLease grants the lease that the command asks for.
func (h *Host) OnLease() { h.on("Lease", "", &pluginv1.LeaseResponse{}) }

// OnCreateFile answers the next Files.Create of a name.
func (h *Host) OnCreateFile(match string, f sdk.FileInfo) {
	h.on("CreateFile", match, &pluginv1.CreateFileResponse{File: wireFile(f)})
}

// OnGetFile answers the next Files.Get of an id.
func (h *Host) OnGetFile(match string, f sdk.FileInfo) {
	h.on("GetFile", match, &pluginv1.GetFileResponse{File: wireFile(f)})
}

// OnRegisterFile answers the next Files.Register of an id or RegisterPath of a path.
func (h *Host) OnRegisterFile(match string, f sdk.FileInfo) {
	h.on("RegisterFile", match, &pluginv1.RegisterFileResponse{File: wireFile(f)})
}

// OnDeleteFile answers the next Files.Delete of an id.
func (h *Host) OnDeleteFile(match string) {
	h.on("DeleteFile", match, &pluginv1.DeleteFileResponse{})
}

// Fail answers a callback with an error. It is named as in [Callback].
func (h *Host) Fail(callback, match string, err *sdk.Error) {
	h.t.Helper()
	resp := failure(callback, err.Proto())
	if resp == nil {
		h.t.Fatalf("sdktest: there is no callback %s", callback)
	}
	h.on(callback, match, resp)
}

func (h *Host) on(callback, match string, response proto.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers = append(h.answers, answer{callback, match, response})
}

func (h *Host) marshal(v any) []byte {
	h.t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		h.t.Fatalf("sdktest: an answer is no JSON: %v", err)
	}
	return raw
}

func wireFile(f sdk.FileInfo) *pluginv1.File {
	out := &pluginv1.File{
		Id: f.ID, Name: f.Name, ContentType: f.ContentType, Tags: f.Tags, Permanent: f.IsPermanent, Created: timestamppb.New(f.Created),
		SizeBytes: f.SizeBytes, Sha256: f.SHA256, State: f.State, Path: f.Path, HostPath: f.HostPath,
	}
	if f.Expires != nil {
		out.Expires = timestamppb.New(*f.Expires)
	}
	return out
}
