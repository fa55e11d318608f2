package projects

import (
	"github.com/keboola/duckdb-storage/sdk"
)

// Queues shows the write queues.
var Queues = sdk.Command[NoRequest, QueuesResponse]{Name: "queues.List", Summary: "Show which writes run and how many wait behind them."}

// QueuesResponse lists the catalogs that have a writer now, by name.
type QueuesResponse struct {
	Items []QueueLine `json:"items"`
}

// QueueLine is the writers of one catalog.
type QueueLine struct {
	Catalog            string      `json:"catalog"`
	Holder             QueueHolder `json:"holder"`
	Waiting            int         `json:"waiting" jsonschema:"writes behind the holder"`
	LongestWaitSeconds float64     `json:"longestWaitSeconds" jsonschema:"of those that wait; 0 when none does"`
}

// QueueHolder is the write that runs.
type QueueHolder struct {
	Command     string  `json:"command"`
	RequestID   string  `json:"requestId" jsonschema:"of the HTTP request; it is in the log"`
	HeldSeconds float64 `json:"heldSeconds"`
}

func (c *Commands) queues(*sdk.Context, NoRequest) (QueuesResponse, error) {
	out := QueuesResponse{Items: []QueueLine{}}
	for _, l := range c.Executor.Queue.Lines() {
		out.Items = append(out.Items, QueueLine{
			Catalog: l.Catalog, Waiting: l.Waiting, LongestWaitSeconds: l.Longest.Seconds(),
			Holder: QueueHolder{Command: l.Holder.Command, RequestID: l.Holder.RequestID, HeldSeconds: l.Held.Seconds()},
		})
	}
	return out, nil
}
