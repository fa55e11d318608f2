package compress_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/compress"
)

func writer(t *testing.T, to io.Writer) *compress.Writer {
	t.Helper()
	w, err := compress.NewWriter(to)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// noise is a text that gzip makes about half as large.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)
	for i := range out {
		out[i] = "0123456789abcdef"[r.IntN(16)]
	}
	return out
}

func TestReadersTakeIt(t *testing.T) {
	t.Parallel()
	for _, want := range [][]byte{nil, []byte("a,b\n"), noise(3 << 20)} {
		var b bytes.Buffer
		w := writer(t, &b)
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		w.Abort() // does nothing any more
		r, err := gzip.NewReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false) // one member
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as %d, %v", len(want), len(got), err)
		}
		if b.Len() > 0 {
			t.Errorf("%d bytes follow the member", b.Len())
		}
	}
}

func TestFlushWritesEverything(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := writer(t, &b)
	defer w.Abort()
	if _, err := w.Write([]byte("first\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "first\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What was given up must not look whole.
func TestAbortWritesNoEnd(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := writer(t, &b)
	if _, err := w.Write(noise(3 << 20)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	r, err := gzip.NewReader(&b)
	if errors.Is(err, io.EOF) {
		return // not even a beginning
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a reader says %v, want an unexpected end", err)
	}
}

var errGone = errors.New("gone")

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errGone }

func TestErrorOfTheTarget(t *testing.T) {
	w := writer(t, gone{})
	_, err := w.Write(noise(1 << 20))
	if err == nil {
		err = w.Close()
	} else if closeErr := w.Close(); !errors.Is(closeErr, errGone) {
		t.Errorf("Close: got %v", closeErr)
	}
	if !errors.Is(err, errGone) {
		t.Errorf("got %v", err)
	}
	if stacks := goroutines(); strings.Contains(stacks, "pgzip") {
		t.Errorf("goroutines are left:\n%s", stacks)
	}
}

func goroutines() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
