package registry

import (
	"context"
	gosql "database/sql"
	"encoding/json"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// JobState is how far a job has come.
type JobState string

// The states. A job in one of the last three is done.
const (
	JobWaiting    JobState = "waiting"
	JobProcessing JobState = "processing"
	JobSuccess    JobState = "success"
	JobError      JobState = "error"
	JobCancelled  JobState = "cancelled"
)

// Done reports whether a job in this state never changes again.
func (s JobState) Done() bool { return s == JobSuccess || s == JobError || s == JobCancelled }

// Job is the row of a job. Times are in UTC and zero when they have not come;
// Result and Error are JSON or nil. What can change of it is durable when it begins
// and when it ends; in between, progress lives elsewhere.
type Job struct {
	ID        string
	Project   string // empty for a command of the service as a whole
	Branch    string
	Command   string
	Subject   string // name of the key that asked
	RequestID string
	RunID     string
	State     JobState
	Queued    time.Time
	Started   time.Time
	Ended     time.Time
	Progress  *float64 // from 0 to 1, or nil when nobody knows
	Message   string
	Result    json.RawMessage
	Error     json.RawMessage
}

// outcome is how a job ended, as it lies in a file when it is long.
type outcome struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

// outcomes keeps the long ones.
func (r *Registry) outcomes() longs { return longs{r.metadata, "jobs"} }

// AddJob writes the row of a new job.
func (r *Registry) AddJob(ctx context.Context, j Job) error {
	return r.store.write(ctx, func(s *engine.Session) error {
		_, err := s.Exec(sql.New("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?::TIMESTAMP, NULL, NULL, NULL, '', NULL, NULL, false)",
			j.ID, j.Project, j.Branch, j.Command, j.Subject, j.RequestID, j.RunID, string(j.State), timestamp(j.Queued)))
		return err
	})
}

// BeginJob notes that a job is processing.
func (r *Registry) BeginJob(ctx context.Context, id string, started time.Time) error {
	return r.store.write(ctx, func(s *engine.Session) error {
		_, err := s.Exec(sql.New("UPDATE jobs SET state = ?, started = ?::TIMESTAMP WHERE id = ?", string(JobProcessing), timestamp(started), id))
		return err
	})
}

// EndJobs notes how jobs ended, and their runs in the audit, all of them or none. A job
// whose row is gone stays gone.
func (r *Registry) EndJobs(ctx context.Context, runs []AuditEntry, jobs ...Job) error {
	for _, j := range jobs {
		if !j.long() {
			continue
		}
		raw, err := json.Marshal(outcome{j.Result, j.Error})
		if err == nil {
			err = r.outcomes().put(j.ID, raw, j.Ended)
		}
		if err != nil {
			return err
		}
	}
	return r.store.write(ctx, func(s *engine.Session) error {
		for _, j := range jobs {
			if err := end(s, j); err != nil {
				return err
			}
		}
		return r.addAudit(s, runs)
	})
}

// long reports whether the outcome of the job lies in a file.
func (j Job) long() bool { return len(j.Result)+len(j.Error) > maxInRow }

func end(s *engine.Session, j Job) error {
	long := j.long()
	if long {
		j.Result, j.Error = nil, nil
	}
	var progress any
	if j.Progress != nil {
		progress = *j.Progress
	}
	_, err := s.Exec(sql.New("UPDATE jobs SET state = ?, ended = ?::TIMESTAMP, progress = ?::DOUBLE, message = ?, result = ?, error = ?, long = ? WHERE id = ?",
		string(j.State), timestamp(j.Ended), progress, j.Message, jsonText(j.Result), jsonText(j.Error), long, j.ID))
	return err
}

// ForgetJobs removes the jobs that ended before a time and returns how many they
// were.
func (r *Registry) ForgetJobs(ctx context.Context, before time.Time) (n int64, err error) {
	err = r.store.write(ctx, func(s *engine.Session) error {
		n, err = s.Exec(sql.New("DELETE FROM jobs WHERE ended < ?::TIMESTAMP", timestamp(before)))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, r.outcomes().forget(before)
}

// JobFilter says which jobs to list; an empty member asks for nothing.
type JobFilter struct {
	ID      string
	Project string
	Command string
	RunID   string
	State   JobState
	// Subject lists only jobs that this key started. With Branch those of that branch are
	// listed as well.
	Subject, Branch string
	// Before lists only jobs that came before the one with this id.
	Before string
	// Undone lists only jobs that are not done.
	Undone bool
	// Limit is the most jobs to list; 0 is all.
	Limit int
}

func (f JobFilter) where() sql.Statement {
	conditions := []sql.Statement{sql.New("true")}
	for _, is := range []struct {
		column sql.Name
		value  string
	}{{"id", f.ID}, {"project", f.Project}, {"command", f.Command}, {"run_id", f.RunID}, {"state", string(f.State)}} {
		if is.value != "" {
			conditions = append(conditions, sql.New("? = ?", is.column, is.value))
		}
	}
	switch {
	case f.Branch != "":
		conditions = append(conditions, sql.New("(branch = ? OR subject = ?)", f.Branch, f.Subject))
	case f.Subject != "":
		conditions = append(conditions, sql.New("subject = ?", f.Subject))
	}
	if f.Before != "" {
		conditions = append(conditions, sql.New("id < ?", f.Before))
	}
	if f.Undone {
		conditions = append(conditions, sql.New("ended IS NULL"))
	}
	return sql.Join(" AND ", conditions)
}

// Job finds a job with all of its outcome; ok is false if there is none.
func (r *Registry) Job(ctx context.Context, id string) (j Job, ok bool, err error) {
	if id == "" {
		return Job{}, false, nil
	}
	found, long, err := r.jobs(ctx, JobFilter{ID: id})
	if err != nil || len(found) == 0 {
		return Job{}, false, err
	}
	j = found[0]
	if long[0] {
		err = r.complete(&j)
	}
	return j, true, err
}

// complete reads the outcome of a job from its file. One that is gone is lost.
func (r *Registry) complete(j *Job) error {
	raw, err := r.outcomes().get(j.ID)
	if err != nil || raw == nil {
		return err
	}
	var o outcome
	err = json.Unmarshal(raw, &o)
	j.Result, j.Error = o.Result, o.Error
	return err
}

// Jobs lists jobs, the newest first, without results and errors that are long.
func (r *Registry) Jobs(ctx context.Context, f JobFilter) ([]Job, error) {
	out, _, err := r.jobs(ctx, f)
	return out, err
}

func (r *Registry) jobs(ctx context.Context, f JobFilter) (out []Job, long []bool, err error) {
	var limit sql.Statement
	if f.Limit > 0 {
		limit = sql.New("LIMIT ?", f.Limit)
	}
	err = r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New(`SELECT id, project, branch, command, subject, request_id, run_id, state, queued, started, ended, progress, message, result, error, long
			FROM jobs WHERE ? ORDER BY id DESC ?`, f.where(), limit), func(scan func(...any) error) error {
			var (
				j              Job
				started, ended gosql.NullTime
				progress       gosql.NullFloat64
				result, failed gosql.NullString
				inFile         bool
			)
			err := scan(&j.ID, &j.Project, &j.Branch, &j.Command, &j.Subject, &j.RequestID, &j.RunID, &j.State,
				&j.Queued, &started, &ended, &progress, &j.Message, &result, &failed, &inFile)
			j.Started, j.Ended = started.Time, ended.Time
			if progress.Valid {
				j.Progress = &progress.Float64
			}
			j.Result, j.Error = rawJSON(result), rawJSON(failed)
			out, long = append(out, j), append(long, inFile)
			return err
		})
	})
	return out, long, err
}

// jsonText is how optional JSON is bound.
func jsonText(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return string(raw)
}

func rawJSON(text gosql.NullString) json.RawMessage {
	if !text.Valid {
		return nil
	}
	return json.RawMessage(text.String)
}
