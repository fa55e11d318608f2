package crash_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// file is what is known of a storage file.
type file struct {
	state  string // prepared, uploaded or registered; empty for one that is gone
	sha256 string // hex, empty as long as it is prepared
}

// shelf knows the files of the main project, each with the states that it may be
// in: one, or several while an answer has not come.
type shelf struct {
	mu    sync.Mutex
	files map[string][]file // by id
	// Files that may have been made although nobody learned their id, by state.
	unknown map[string]int
	// Up to this id the files that exist are known.
	checked int
	// Whether a registration that failed may still be finished by the next start; the
	// file shows as uploaded until then.
	unsettled bool
}

func newShelf() *shelf { return &shelf{files: map[string][]file{}, unknown: map[string]int{}} }

// may says before a request what the file may become by it.
func (s *shelf) may(id string, next file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = append(s.files[id], next)
}

// is says what the file is after an answer.
func (s *shelf) is(id string, now file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = []file{now}
}

// expect says before a request that it makes a file. The one that it returns is
// called with the answer.
func (s *shelf) expect(state string) (is func(id string, now file)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown[state]++
	return func(id string, now file) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unknown[state]--
		s.files[id] = []file{now}
	}
}

// remove deletes a file.
func (s *shelf) remove(ctx context.Context, p service.Project, id string) error {
	s.may(id, file{})
	if _, err := p.Do(ctx, http.MethodDelete, p.Path("files", id), nil, nil); err != nil {
		return err
	}
	s.is(id, file{})
	return nil
}

// check compares every file of the project with what it may be: those that are
// known, and those that may have been made since the last check. Ids are numbers
// that grow, so that all can be asked for.
func (s *shelf) check(ctx context.Context, p service.Project) error {
	last, err := p.Prepare(ctx, "the last one")
	if err != nil {
		return err
	}
	s.is(last, file{state: "prepared"})
	end, err := strconv.Atoi(last)
	if err != nil {
		return err
	}
	for id := range s.files {
		if i, err := strconv.Atoi(id); err != nil || i > end {
			return fmt.Errorf("file %s has an id that will be given again: the last one is %s", id, last)
		}
	}
	for i := 1; i <= end; i++ {
		id := strconv.Itoa(i)
		if _, known := s.files[id]; !known && i <= s.checked {
			continue
		}
		if err := s.checkFile(ctx, p, id); err != nil {
			return fmt.Errorf("file %s: %w", id, err)
		}
	}
	s.checked, s.unknown = end, map[string]int{}
	maps.DeleteFunc(s.files, func(_ string, states []file) bool { return states[0].state == "" })
	return s.remove(ctx, p, last)
}

func (s *shelf) checkFile(ctx context.Context, p service.Project, id string) error {
	got, err := look(ctx, p, id)
	if err != nil {
		return err
	}
	states, known := s.files[id]
	switch {
	case !known && got.state == "":
		return nil
	case !known:
		if s.unknown[got.state]--; s.unknown[got.state] < 0 {
			return fmt.Errorf("it is %s, but no request that was cut off can have made it", got.state)
		}
		return s.remove(ctx, p, id)
	case !slices.Contains(states, got):
		return fmt.Errorf("it is %+v, want one of %+v", got, states)
	}
	s.files[id] = []file{got}
	if later := (file{"registered", got.sha256}); s.unsettled && got.state == "uploaded" && slices.Contains(states, later) {
		s.files[id] = append(s.files[id], later)
	}
	return nil
}

// look asks for a file, downloads its bytes and compares them with its row.
func look(ctx context.Context, p service.Project, id string) (file, error) {
	var row service.File
	_, err := p.Do(ctx, http.MethodGet, p.Path("files", id), nil, &row)
	if service.IsProblem(err, "file-not-found") {
		return file{}, nil
	}
	if err != nil {
		return file{}, err
	}
	f := file{row.State, row.SHA256}
	if row.State == "prepared" {
		return f, nil
	}
	content := &counter{Hash: sha256.New()}
	if _, err := p.Do(ctx, http.MethodGet, p.Path("files", id, "content"), nil, content); err != nil {
		return f, fmt.Errorf("it is %s, but: %w", row.State, err)
	}
	if sum := hex.EncodeToString(content.Sum(nil)); sum != row.SHA256 || content.size != row.SizeBytes {
		return f, fmt.Errorf("its row says %d bytes with sha256 %s, its content has %d with %s", row.SizeBytes, row.SHA256, content.size, sum)
	}
	if row.State != "uploaded" && row.State != "registered" {
		return f, errors.New("a client sees it in state " + row.State)
	}
	return f, nil
}

// counter is a hash that counts what goes into it.
type counter struct {
	hash.Hash
	size int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.size += int64(len(p))
	return c.Hash.Write(p)
}

// rows are the files that exist. It is called after check, when each has one
// state.
func (s *shelf) rows() map[string]file {
	out := map[string]file{}
	for id, states := range s.files {
		if states[0].state != "" {
			out[id] = states[0]
		}
	}
	return out
}
