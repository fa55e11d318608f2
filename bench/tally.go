package main

import (
	"bytes"
	"fmt"
	"time"
)

// tally is what there is to know of bytes that are thrown away.
type tally struct {
	bytes, lines int64
	head, tail   []byte    // the first and last of them
	first        time.Time // when the first came
}

// ends is how many bytes at each end are kept.
const ends = 8

func (t *tally) Write(b []byte) (int, error) {
	if t.bytes == 0 {
		t.first = time.Now()
	}
	t.bytes += int64(len(b))
	t.lines += int64(bytes.Count(b, []byte{'\n'}))
	if missing := ends - len(t.head); missing > 0 {
		t.head = append(t.head, b[:min(missing, len(b))]...)
	}
	t.tail = append(t.tail, b[max(0, len(b)-ends):]...)
	t.tail = append([]byte(nil), t.tail[max(0, len(t.tail)-ends):]...)
	return len(b), nil
}

func (t *tally) begins(with string) error {
	if !bytes.HasPrefix(t.head, []byte(with)) {
		return fmt.Errorf("the stream begins with %x, want %x", t.head, with)
	}
	return nil
}

func (t *tally) ends(with string) error {
	if !bytes.HasSuffix(t.tail, []byte(with)) {
		return fmt.Errorf("the stream of %d bytes ends with %x, want %x: it is not whole", t.bytes, t.tail, with)
	}
	return nil
}
