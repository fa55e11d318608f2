package projects

import (
	"github.com/keboola/duckdb-storage/sdk"
)

// Queues shows the write queues.
var Queues = sdk.Command[NoRequest, QueuesResponse]{Name: "queues.List", Summary: "Show which writes run and how many wait behind them."}

// QueuesResponse lists the lines that have a writer now, by catalog and lock.
type QueuesResponse struct {
	Items []QueueLine `json:"items"`
}

// QueueLine is the writers of one catalog, or of one lock within it.
type QueueLine struct {
	Catalog            string      `json:"catalog"`
	Lock               string      `json:"lock" jsonschema:"what is locked; empty for the turn to write to the catalog"`
	Holder             QueueHolder `json:"holder"`
	Waiting            int         `json:"waiting" jsonschema:"writes behind the holder"`
	LongestWaitSeconds float64     `json:"longestWaitSeconds" jsonschema:"of those that wait; 0 when none does"`
}

// QueueHolder is the write that runs, or the command that leases.
type QueueHolder struct {
	Command     string  `json:"command"`
	RequestID   string  `json:"requestId" jsonschema:"of the HTTP request; it is in the log"`
	HeldSeconds float64 `json:"heldSeconds"`
	Lease       bool    `json:"lease" jsonschema:"the command keeps its turn until it is done, for several writes"`
}

func (c *Commands) queues(*sdk.Context, NoRequest) (QueuesResponse, error) {
	out := QueuesResponse{Items: []QueueLine{}}
	for _, l := range c.Executor.Queue.Lines() {
		out.Items = append(out.Items, QueueLine{
			Catalog: l.Catalog, Lock: l.Lock, Waiting: l.Waiting, LongestWaitSeconds: l.Longest.Seconds(),
			Holder: QueueHolder{Command: l.Holder.Command, RequestID: l.Holder.RequestID, HeldSeconds: l.Held.Seconds(), Lease: l.Lease},
		})
	}
	return out, nil
}
