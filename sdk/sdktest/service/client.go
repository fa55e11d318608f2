package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// Client makes requests with one key.
type Client struct {
	URL string
	Key string // empty sends none
}

// Problem is an error that the service answered with, RFC 9457. Do returns it as
// its error: use errors.As, or [IsProblem].
type Problem struct {
	Type      string            `json:"type"`
	Title     string            `json:"title"`
	Status    int               `json:"status"`
	Detail    string            `json:"detail"`
	Instance  string            `json:"instance"`
	Code      int               `json:"code"`
	Retryable bool              `json:"retryable"`
	RequestID string            `json:"requestId"`
	Errors    []Violation       `json:"errors"`
	Context   map[string]string `json:"context"`
}

// Violation is one way in which an input was wrong.
type Violation struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Type, p.Detail) }

// IsProblem reports whether an error is a problem with that slug, for example
// "table-not-found".
func IsProblem(err error, slug string) bool {
	var p *Problem
	return errors.As(err, &p) && p.Type == "/problems/"+slug
}

// Do sends a request and decodes the answer. path starts with a slash and has its
// names percent-encoded.
//
// body is nil, an io.Reader whose bytes are sent as they are (and which is closed
// if it can be), or a value that is sent as JSON. out is nil, an io.Writer that
// gets the answer as it is, or a pointer that JSON is decoded into.
//
// status is 0 if there was no answer. The error is a *Problem if the service
// answered with one; every other error means that it could not be asked, or
// broke off.
func (c Client) Do(ctx context.Context, method, path string, body, out any) (status int, err error) {
	content, header, err := encode(body)
	if err != nil {
		return 0, err
	}
	resp, err := c.Send(ctx, method, path, header, content)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if err := decode(resp, out); err != nil {
		return resp.StatusCode, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return resp.StatusCode, nil
}

// Send sends a request with the client's key and returns the answer, whatever it
// is; a redirect is an answer. The caller closes its body.
func (c Client) Send(ctx context.Context, method, path string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	return httpClient.Do(req)
}

// httpClient follows no redirect: the API promises none.
var httpClient = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func encode(body any) (io.Reader, http.Header, error) {
	switch b := body.(type) {
	case nil:
		return nil, nil, nil
	case io.Reader:
		return b, nil, nil
	}
	raw, err := json.Marshal(body)
	return bytes.NewReader(raw), http.Header{"Content-Type": {"application/json"}}, err
}

func decode(resp *http.Response, out any) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case mediaType == "application/problem+json":
		p := &Problem{}
		if err := json.NewDecoder(resp.Body).Decode(p); err != nil {
			return fmt.Errorf("status %d with a broken problem: %w", resp.StatusCode, err)
		}
		return p
	case resp.StatusCode >= 300:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("status %d without a problem: %s", resp.StatusCode, text)
	}
	switch to := out.(type) {
	case nil:
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	case io.Writer:
		_, err := io.Copy(to, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
