package httpapi

import (
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// answer sends what the plan came to.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, route route, call pluginhost.Call, a plan.Answer) {
	switch {
	case a.Stream != nil:
		s.stream(w, r, route.status, a.Stream)
	case a.File != "":
		s.file(w, r, call.Target.GetProject(), a.File)
	case a.Upload != "":
		s.upload(w, r, call.Target.GetProject(), a.Upload)
	case a.Job != "":
		s.jobStarted(w, r, call, a.Job)
	case route.status == http.StatusNoContent || len(a.JSON) == 0:
		w.WriteHeader(http.StatusNoContent)
	default:
		observedOf(r.Context()).answers(a.JSON)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(route.status)
		w.Write(a.JSON)
	}
}

// failOrAnswer sends an error; one that the command counts as an answer has
// status 200.
func (s *Server) failOrAnswer(w http.ResponseWriter, r *http.Request, err error) {
	var statement *plan.StatementError
	if !errors.As(err, &statement) {
		s.fail(w, r, err)
		return
	}
	observedOf(r.Context()).statement = statement.Err
	w.Header().Set("Content-Type", "application/json")
	w.Write(statement.JSON())
}

// file sends the bytes of a file with ranges; its SHA-256 is the ETag.
func (s *Server) file(w http.ResponseWriter, r *http.Request, project, id string) {
	f, body, err := s.cfg.Files.Open(r.Context(), project, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer body.Close()
	h := w.Header()
	h.Set("ETag", `"`+f.SHA256+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
	h.Set("Content-Type", "application/octet-stream")
	if f.ContentType != "" {
		h.Set("Content-Type", f.ContentType)
	}
	http.ServeContent(w, r, "", f.Created, body)
}

// upload receives the bytes of a file.
func (s *Server) upload(w http.ResponseWriter, r *http.Request, project, id string) {
	if r.Header.Get("Content-Range") != "" {
		s.fail(w, r, sdk.ErrUnsupported.Errorf("uploads cannot be resumed yet; send the whole file"))
		return
	}
	sums, err := checksums(r.Header)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	f, err := s.cfg.Files.Receive(r.Context(), project, id, clientBody{r.Body}, sums)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, sdk.UploadResponse{SizeBytes: f.SizeBytes, SHA256: f.SHA256})
}

// clientBody tells a client that broke off from a disk that failed.
type clientBody struct{ io.Reader }

func (b clientBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = sdk.ErrMalformed.Errorf("the upload broke off: %v; send the whole file again", err)
	}
	return n, err
}

// checksums reads what the client says about the bytes: Content-MD5 (RFC 1864)
// and Digest with sha-256 (RFC 3230).
func checksums(h http.Header) (files.Checksums, error) {
	var out files.Checksums
	var err error
	if v := h.Get("Content-MD5"); v != "" {
		if out.MD5, err = base64.StdEncoding.DecodeString(v); err != nil || len(out.MD5) != md5.Size {
			return out, sdk.ErrMalformed.Errorf("Content-MD5 must be the base64 of 16 bytes")
		}
	}
	for part := range strings.SplitSeq(h.Get("Digest"), ",") {
		algorithm, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(algorithm, "sha-256") {
			continue
		}
		if out.SHA256, err = base64.StdEncoding.DecodeString(value); err != nil || len(out.SHA256) != 32 {
			return out, sdk.ErrMalformed.Errorf("Digest must be sha-256= and the base64 of 32 bytes")
		}
	}
	return out, nil
}
