package crash_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	maxUploadBytes = 2 << 20
	// sendings is how often the bytes of a file may be sent before it is
	// registered: the last ones count.
	sendings = 2
	// keptFiles is how many registered files stay before the oldest one is deleted.
	keptFiles = 5
)

// uploads prepares, sends, registers and deletes files.
type uploads struct {
	random *rand.Rand
	files  *shelf
	kept   []string // registered, the oldest first
}

func newUploads(r *rand.Rand, files *shelf) *uploads { return &uploads{random: r, files: files} }

func (*uploads) prepare(context.Context, clients) error { return nil }

// check is left to the shelf.
func (*uploads) check(context.Context, clients) error { return nil }

func (u *uploads) step(ctx context.Context, c clients) error {
	is := u.files.expect("prepared")
	id, err := c.main.Prepare(ctx, "upload.bin")
	if err != nil {
		return err
	}
	now := file{state: "prepared"}
	is(id, now)
	for range 1 + u.random.IntN(sendings) {
		if now, err = u.send(ctx, c.main, id); err != nil {
			return err
		}
	}
	now.state = "registered"
	u.files.may(id, now)
	if _, err := c.main.Register(ctx, id); err != nil {
		return err
	}
	u.files.is(id, now)
	u.kept = append(u.kept, id)
	if len(u.kept) <= keptFiles {
		return nil
	}
	oldest := u.kept[0]
	u.kept = u.kept[1:]
	return u.files.remove(ctx, c.main, oldest)
}

// send uploads random bytes.
func (u *uploads) send(ctx context.Context, p service.Project, id string) (file, error) {
	content := make([]byte, u.random.IntN(maxUploadBytes)>>u.random.IntN(20))
	for i := range content {
		content[i] = byte(u.random.Uint32())
	}
	sum := sha256.Sum256(content)
	now := file{"uploaded", hex.EncodeToString(sum[:])}
	u.files.may(id, now)
	var got service.File
	if _, err := p.Do(ctx, http.MethodPut, p.Path("files", id, "content"), bytes.NewReader(content), &got); err != nil {
		return now, err
	}
	if got.SHA256 != now.sha256 || got.SizeBytes != int64(len(content)) {
		return now, wrong("the upload of %d bytes with sha256 %s answered %+v", len(content), now.sha256, got)
	}
	u.files.is(id, now)
	return now, nil
}
