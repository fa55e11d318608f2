package disk

import (
	"os"
	"path/filepath"
	"time"
)

// unfinished begins the names of files that are being written. Whoever looks after a
// folder removes what a crash left of them.
const unfinished = ".new-"

// Write writes a file durably: it is there with all its bytes, or as it was before.
// Its folder exists. at becomes its time of modification.
func Write(path string, content []byte, at time.Time) error {
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chtimes(f.Name(), at, at)
	}
	if err == nil {
		err = Rename(f.Name(), path)
	}
	return err
}
