package registry

import (
	"context"
	"crypto/rand"
	gosql "database/sql"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// AuditOutcome is what became of a write.
type AuditOutcome string

// The outcomes.
const (
	AuditOK       AuditOutcome = "ok"
	AuditAccepted AuditOutcome = "accepted" // a job runs it; another entry tells how that ends
	AuditFailed   AuditOutcome = "failed"
	AuditDenied   AuditOutcome = "denied"  // the key has no right to it
	AuditAborted  AuditOutcome = "aborted" // who asked left, or cancelled it
)

// AuditEntry is one write that was asked for, and what became of it. Texts are bounded
// when they are stored, see the constants.
type AuditEntry struct {
	ID         string    // ULID; given when it is stored, in the order of the commits
	Time       time.Time // UTC, microseconds; when it is stored
	Subject    string    // name of the key; plugin:<name> for what a plugin did by itself
	Key        string    // id of the key, or empty
	Project    string    // as asked; empty for the service as a whole
	Branch     string
	Command    string
	Method     string // empty for what no request was, as Path and Remote
	Path       string // percent-encoded, without the query
	Input      string // JSON, or its beginning; empty when it is not known or may hold a secret
	InputCut   bool   // set when it is stored
	Outcome    AuditOutcome
	Status     int    // of HTTP; 0 when there was none
	Problem    string // slug, or empty
	RequestID  string
	RunID      string
	JobID      string
	Repeated   bool // answered as an earlier request was; nothing ran
	Duration   time.Duration
	RemoteAddr string // address and port of the client
}

// What is kept of texts that clients choose, in bytes. An input stays below the 4096
// bytes from which on DuckDB keeps a value in blocks of its own, see maxInRow.
const (
	MaxAuditInput = maxInRow
	MaxAuditPath  = 2 << 10
	maxAuditText  = 255
)

// AuditInput is what an entry takes of an input: as much as is kept, and a byte more where
// there is more. Entries wait for the disk, and inputs have megabytes.
func AuditInput(input []byte) string { return string(input[:min(len(input), MaxAuditInput+1)]) }

// bounded is the entry as it is stored.
func (e AuditEntry) bounded() AuditEntry {
	e.InputCut = len(e.Input) > MaxAuditInput
	e.Input, e.Path = storable(e.Input, MaxAuditInput), storable(e.Path, MaxAuditPath)
	for _, text := range []*string{&e.Subject, &e.Key, &e.Project, &e.Branch, &e.Command, &e.Method, &e.Problem, &e.RequestID, &e.RunID, &e.JobID, &e.RemoteAddr} {
		*text = storable(*text, maxAuditText)
	}
	return e
}

// storable is the beginning of a text, at most so many bytes, without half a character
// and as UTF-8: one text that DuckDB refuses would take others with it.
func storable(text string, most int) string {
	if len(text) > most {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = text[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
}

// AddAudit stores entries in one transaction, and returns when they are durable.
func (r *Registry) AddAudit(ctx context.Context, entries ...AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	return r.store.write(ctx, func(s *engine.Session) error { return r.addAudit(s, entries) })
}

// auditRow is an entry on its way into the table.
type auditRow struct {
	ID         string       `json:"id"`
	Time       string       `json:"time"`
	Subject    string       `json:"subject"`
	Key        string       `json:"key"`
	Project    string       `json:"project"`
	Branch     string       `json:"branch"`
	Command    string       `json:"command"`
	Method     string       `json:"method"`
	Path       string       `json:"path"`
	Input      string       `json:"input"`
	InputCut   bool         `json:"input_cut"`
	Outcome    AuditOutcome `json:"outcome"`
	Status     int          `json:"status"`
	Problem    string       `json:"problem"`
	RequestID  string       `json:"request_id"`
	RunID      string       `json:"run_id"`
	JobID      string       `json:"job_id"`
	Repeated   bool         `json:"repeated"`
	DurationUS int64        `json:"duration_us"`
	RemoteAddr string       `json:"remote"`
}

// auditShape is what DuckDB reads of a list of auditRow: the columns of the table, in
// their order.
const auditShape sql.Literal = `[{"id":"VARCHAR","time":"TIMESTAMP","subject":"VARCHAR","key":"VARCHAR","project":"VARCHAR","branch":"VARCHAR",
	"command":"VARCHAR","method":"VARCHAR","path":"VARCHAR","input":"VARCHAR","input_cut":"BOOLEAN","outcome":"VARCHAR","status":"INTEGER","problem":"VARCHAR",
	"request_id":"VARCHAR","run_id":"VARCHAR","job_id":"VARCHAR","repeated":"BOOLEAN","duration_us":"BIGINT","remote":"VARCHAR"}]`

// addAudit stores entries in the transaction of a session that has the writer's turn.
//
// They are bound as one text: 32 entries take 1.4 ms so, and 5.4 ms with a mark for each
// value, of which most is planning (measured).
func (r *Registry) addAudit(s *engine.Session, entries []AuditEntry) error {
	if len(entries) == 0 {
		return nil
	}
	rows := make([]auditRow, len(entries))
	for i, e := range entries {
		e = e.bounded()
		id, at := r.auditIDs.next()
		rows[i] = auditRow{
			id, timestamp(at), e.Subject, e.Key, e.Project, e.Branch, e.Command, e.Method, e.Path, e.Input, e.InputCut, e.Outcome, e.Status, e.Problem,
			e.RequestID, e.RunID, e.JobID, e.Repeated, e.Duration.Microseconds(), e.RemoteAddr,
		}
	}
	text, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	_, err = s.Exec(sql.New("INSERT INTO audit SELECT unnest(from_json(?, ?), recursive := true)", string(text), auditShape))
	return err
}

// auditIDs gives entries their ids, each after the one before, although the clock may go
// back. Their times are those of the clock: one that was years ahead for a moment must
// not date what comes after. It is used by whoever has the writer's turn.
type auditIDs struct {
	last    uint64 // milliseconds of the newest id
	entropy *ulid.MonotonicEntropy
}

func (a *auditIDs) next() (id string, at time.Time) {
	at = time.Now().UTC().Truncate(time.Microsecond)
	a.last = max(a.last, ulid.Timestamp(at))
	for {
		made, err := ulid.New(a.last, a.entropy)
		if err == nil {
			return made.String(), at
		}
		a.last++ // so many in one millisecond that its ids are used up
	}
}

// openAudit goes on after the newest entry.
func (r *Registry) openAudit(ctx context.Context) error {
	r.auditIDs.entropy = ulid.Monotonic(rand.Reader, 0)
	return r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT max(id) FROM audit"), func(scan func(...any) error) error {
			var newest gosql.NullString
			if err := scan(&newest); err != nil || !newest.Valid {
				return err
			}
			id, err := ulid.ParseStrict(newest.String)
			r.auditIDs.last = id.Time() + 1
			return err
		})
	})
}

// ForgetAudit removes the entries from before a time, at most so many, the oldest first,
// and returns how many there were.
func (r *Registry) ForgetAudit(ctx context.Context, before time.Time, most int) (n int64, err error) {
	err = r.store.write(ctx, func(s *engine.Session) error {
		old := sql.New("SELECT time FROM audit WHERE time < ?::TIMESTAMP ORDER BY time LIMIT ?", timestamp(before), most)
		n, err = s.Exec(sql.New("DELETE FROM audit WHERE time <= (SELECT max(time) FROM (?))", old))
		return err
	})
	return n, err
}

// AuditFilter says which entries to list; an empty member asks for nothing.
type AuditFilter struct {
	Project   string
	Subject   string
	Command   string
	Outcome   AuditOutcome
	RequestID string
	Since     time.Time // not before
	Until     time.Time // before
	// Before lists only entries that came before the one with this id.
	Before string
	// Limit is the most entries to list.
	Limit int
}

func (f AuditFilter) where() sql.Statement {
	conditions := []sql.Statement{sql.New("true")}
	for _, is := range []struct {
		column sql.Name
		value  string
	}{{"project", f.Project}, {"subject", f.Subject}, {"command", f.Command}, {"outcome", string(f.Outcome)}, {"request_id", f.RequestID}} {
		if is.value != "" {
			conditions = append(conditions, sql.New("? = ?", is.column, is.value))
		}
	}
	if !f.Since.IsZero() {
		conditions = append(conditions, sql.New("time >= ?::TIMESTAMP", timestamp(f.Since)))
	}
	if !f.Until.IsZero() {
		conditions = append(conditions, sql.New("time < ?::TIMESTAMP", timestamp(f.Until)))
	}
	if f.Before != "" {
		conditions = append(conditions, sql.New("id < ?", f.Before))
	}
	return sql.Join(" AND ", conditions)
}

// Audit lists entries, the newest first.
func (r *Registry) Audit(ctx context.Context, f AuditFilter) (out []AuditEntry, err error) {
	err = r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New(`SELECT id, time, subject, key, project, branch, command, method, path, input, input_cut, outcome, status, problem,
				request_id, run_id, job_id, repeated, duration_us, remote
			FROM audit WHERE ? ORDER BY id DESC LIMIT ?`, f.where(), f.Limit), func(scan func(...any) error) error {
			var e AuditEntry
			var micros int64
			err := scan(&e.ID, &e.Time, &e.Subject, &e.Key, &e.Project, &e.Branch, &e.Command, &e.Method, &e.Path, &e.Input, &e.InputCut, &e.Outcome, &e.Status, &e.Problem,
				&e.RequestID, &e.RunID, &e.JobID, &e.Repeated, &micros, &e.RemoteAddr)
			e.Duration = time.Duration(micros) * time.Microsecond
			out = append(out, e)
			return err
		})
	})
	return out, err
}
