package sdk

import (
	"encoding/json"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Job is work that goes on after the answer. As a plan it answers 202 with the job,
// and the client asks for it at /jobs/{id}. Where there is no client, the id is the
// result: of a Call, or of the job that ran the command.
type Job struct {
	ID string `json:"id"`
}

func (Job) plan() {}

// StartJob runs another command in the background, for the same caller and catalog.
// The job is durable when StartJob returns, and outlives this request; one that a
// restart of the service interrupts ends with an error that says so. The caller and
// the plugin must be allowed what the command takes.
//
// A job may start jobs, MaxCallDepth deep. ErrJobsFull is a service with too many
// jobs that wait.
func StartJob[Request, Response any](c *Context, cmd Command[Request, Response], in Request) (Job, error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return Job{}, err
	}
	resp, err := c.host.StartJob(c, &pluginv1.StartJobRequest{CallToken: c.request.GetCallToken(), Command: cmd.Name, Payload: payload})
	if err != nil {
		return Job{}, callbackError(c, "StartJob", err)
	}
	if resp.GetError() != nil {
		return Job{}, ErrorFromProto(resp.GetError())
	}
	return Job{ID: resp.GetJobId()}, nil
}

// Progress says how far the command is: fraction from 0 to 1, and what it does now
// for people, or nothing. Whoever looks at the job sees it; a command that runs
// outside of one may say it, too. It returns ErrCancelled when the job has been
// cancelled.
func (c *Context) Progress(fraction float64, message string) error {
	resp, err := c.host.Progress(c, &pluginv1.ProgressRequest{CallToken: c.request.GetCallToken(), Fraction: fraction, Message: message})
	if err != nil {
		return callbackError(c, "Progress", err)
	}
	return ErrorFromProto(resp.GetError())
}
