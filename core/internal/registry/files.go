package registry

import (
	"context"
	gosql "database/sql"
	"encoding/json"
	"strconv"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// The states of a file that only a crash can leave behind. The states that a
// client sees are sdk.FilePrepared, FileUploaded and FileRegistered.
const (
	FileWriting     = "writing"     // the service itself is writing the bytes
	FileReplacing   = "replacing"   // the bytes at Path may be older or newer than the row says
	FileRegistering = "registering" // the bytes move from staging to Path
	FileDeleting    = "deleting"    // the bytes go, then the row
)

// File is a row of the file registry.
type File struct {
	ID          string
	Project     string
	Name        string
	ContentType string
	Tags        []string
	Permanent   bool
	Created     time.Time // UTC
	Expires     time.Time // UTC; zero for a permanent file
	SizeBytes   int64
	SHA256      string // hex; empty until the bytes are there
	State       string
	Path        string // of the bytes, below the project's files
}

// Files is the open file registry. It knows rows; the files package knows bytes.
type Files struct {
	store
	projects *Registry // nil: the rows of any project are taken
}

// OpenFiles opens the file registry, making it on the first start.
func OpenFiles(ctx context.Context, e *engine.Engine, l disk.Layout) (*Files, error) {
	f := &Files{store: store{engine: e, catalog: system(l, filesAlias, l.FileRegistry())}}
	return f, f.open(ctx)
}

// Guard refuses the rows of projects that are not active, from now on: a request that is
// late does not bring back what ForgetProject removed.
func (f *Files) Guard(projects *Registry) { f.projects = projects }

// NextID returns an id that no other file has or had.
func (f *Files) NextID(ctx context.Context) (string, error) {
	var id int64
	err := f.write(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT nextval('file_ids')"), func(scan func(...any) error) error { return scan(&id) })
	})
	return strconv.FormatInt(id, 10), err
}

// Get returns a file of the project in any state, or ErrFileNotFound.
func (f *Files) Get(ctx context.Context, project, id string) (File, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return File{}, errNoFile(project, id)
	}
	files, err := f.list(ctx, sql.New("WHERE project = ? AND id = ?", project, number))
	if err != nil {
		return File{}, err
	}
	if len(files) == 0 {
		return File{}, errNoFile(project, id)
	}
	return files[0], nil
}

func errNoFile(project, id string) error {
	return sdk.ErrFileNotFound.Errorf("file %q does not exist in project %q", id, project)
}

// All returns the files of every project.
func (f *Files) All(ctx context.Context) ([]File, error) { return f.list(ctx, sql.Statement{}) }

// Put writes the row of a file, new or not. It returns ErrProjectNotFound for that of a
// project which was dropped.
func (f *Files) Put(ctx context.Context, file File) error {
	number, err := strconv.ParseInt(file.ID, 10, 64)
	if err != nil {
		return err
	}
	tags, err := json.Marshal(file.Tags)
	if err != nil {
		return err
	}
	var expires any
	if !file.Expires.IsZero() {
		expires = timestamp(file.Expires)
	}
	return f.write(ctx, func(s *engine.Session) error {
		if f.projects != nil {
			// Rows are written one at a time: this one comes before ForgetProject, or finds
			// that the project is not active.
			if _, err := f.projects.Project(file.Project); err != nil {
				return err
			}
			if err := f.projects.Alive(ctx, file.Project); err != nil {
				return err
			}
		}
		if _, err := s.Exec(sql.New("DELETE FROM files WHERE id = ?", number)); err != nil {
			return err
		}
		_, err := s.Exec(sql.New("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?::TIMESTAMP, ?::TIMESTAMP, ?, ?, ?, ?)",
			number, file.Project, file.Name, file.ContentType, string(tags), file.Permanent,
			timestamp(file.Created), expires, file.SizeBytes, file.SHA256, file.State, file.Path))
		return err
	})
}

// Forget removes the row of a file.
func (f *Files) Forget(ctx context.Context, id string) error {
	return f.write(ctx, func(s *engine.Session) error {
		_, err := s.Exec(sql.New("DELETE FROM files WHERE id = ?::BIGINT", id))
		return err
	})
}

// ForgetProject removes the rows of a project's files.
func (f *Files) ForgetProject(ctx context.Context, project string) error {
	return f.write(ctx, func(s *engine.Session) error {
		_, err := s.Exec(sql.New("DELETE FROM files WHERE project = ?", project))
		return err
	})
}

func (f *Files) list(ctx context.Context, where sql.Statement) ([]File, error) {
	var out []File
	err := f.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New(`SELECT id, project, name, content_type, tags, permanent, created, expires, size_bytes, sha256, state, path
			FROM files ? ORDER BY id`, where), func(scan func(...any) error) error {
			var (
				file    File
				id      int64
				tags    string
				expires gosql.NullTime
			)
			if err := scan(&id, &file.Project, &file.Name, &file.ContentType, &tags, &file.Permanent, &file.Created,
				&expires, &file.SizeBytes, &file.SHA256, &file.State, &file.Path); err != nil {
				return err
			}
			file.ID, file.Expires = strconv.FormatInt(id, 10), expires.Time
			out = append(out, file)
			return json.Unmarshal([]byte(tags), &out[len(out)-1].Tags)
		})
	})
	return out, err
}
