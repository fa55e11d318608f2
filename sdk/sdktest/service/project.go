package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// Project is a client with a project's key, and the steps of the main job.
type Project struct {
	Client
	ID string
}

// File is a storage file as the API shows it.
type File struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	State     string `json:"state"`
	SizeBytes int64  `json:"sizeBytes"`
	SHA256    string `json:"sha256"`
}

// Imported is the answer of an import.
type Imported struct {
	ImportedRowsCount int64    `json:"importedRowsCount"`
	TableRowsCount    int64    `json:"tableRowsCount"`
	TableSizeBytes    int64    `json:"tableSizeBytes"`
	ImportedColumns   []string `json:"importedColumns"`
}

// CreateProject creates a project; the client needs the admin key.
func (c Client) CreateProject(ctx context.Context, id string) (Project, error) {
	var out struct {
		APIKey string `json:"apiKey"`
	}
	_, err := c.Do(ctx, http.MethodPost, "/projects", map[string]string{"id": id}, &out)
	return Project{Client: Client{URL: c.URL, Key: out.APIKey}, ID: id}, err
}

// Path is the path of something in the project; every part is percent-encoded.
func (p Project) Path(parts ...string) string {
	path := "/projects/" + url.PathEscape(p.ID)
	for _, part := range parts {
		path += "/" + url.PathEscape(part)
	}
	return path
}

// CreateBucket creates a bucket.
func (p Project) CreateBucket(ctx context.Context, name string) error {
	_, err := p.Do(ctx, http.MethodPost, p.Path("buckets"), map[string]string{"name": name}, nil)
	return err
}

// CreateTable creates a table. columns is a list as in the API: of texts for a
// string table, of objects for a typed one.
func (p Project) CreateTable(ctx context.Context, bucket, name string, columns any, primaryKey ...string) error {
	if primaryKey == nil {
		primaryKey = []string{}
	}
	_, err := p.Do(ctx, http.MethodPost, p.Path("tables"), map[string]any{
		"bucket": bucket, "name": name, "columns": columns, "primaryKey": primaryKey,
	}, nil)
	return err
}

// Prepare reserves a file and returns its id.
func (p Project) Prepare(ctx context.Context, name string) (id string, err error) {
	var out struct {
		ID string `json:"id"`
	}
	_, err = p.Do(ctx, http.MethodPost, p.Path("files", "prepare"), map[string]string{"name": name}, &out)
	return out.ID, err
}

// Upload prepares a file, sends its bytes and registers it.
func (p Project) Upload(ctx context.Context, name string, content io.Reader) (File, error) {
	id, err := p.Prepare(ctx, name)
	if err != nil {
		return File{}, err
	}
	if _, err := p.Do(ctx, http.MethodPut, p.Path("files", id, "content"), content, nil); err != nil {
		return File{}, err
	}
	return p.Register(ctx, id)
}

// Register registers a file whose bytes were sent.
func (p Project) Register(ctx context.Context, id string) (File, error) {
	var f File
	_, err := p.Do(ctx, http.MethodPost, p.Path("files"), map[string]string{"id": id}, &f)
	return f, err
}

// Import replaces the rows of a table with those of a registered CSV file that
// has a header.
func (p Project) Import(ctx context.Context, bucket, table, fileID string) (Imported, error) {
	var out Imported
	_, err := p.Do(ctx, http.MethodPost, p.Path("tables", bucket, table, "import", "file"), map[string]string{"fileId": fileID}, &out)
	return out, err
}

// Query runs one SQL statement and returns its rows; a number is a float64. An
// error of the statement, which the API answers with status 200, is an error here.
func (p Project) Query(ctx context.Context, sql string, params ...any) ([][]any, error) {
	if params == nil {
		params = []any{}
	}
	var out struct {
		Status  string  `json:"status"`
		Message string  `json:"message"`
		Rows    [][]any `json:"rows"`
	}
	if _, err := p.Do(ctx, http.MethodPost, p.Path("query"), map[string]any{"sql": sql, "params": params}, &out); err != nil {
		return nil, err
	}
	if out.Status != "ok" {
		return nil, errors.New(out.Message)
	}
	return out.Rows, nil
}
