package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// copyPrefix starts the name of a copy that is being made. What a kill leaves of it
// is removed by [Layout.Open].
const copyPrefix = ".copy-"

// CopyFile makes a durable copy of a file under a name that is free, whole or not at
// all. check runs when the bytes are there; its error undoes the copy. Where the
// file system can, both share their blocks.
//
// Another process reads the file: DuckDB's lock is one of the process, and closing
// any descriptor of a database file would drop it.
func CopyFile(ctx context.Context, from, to string, check func() error) error {
	temp := filepath.Join(filepath.Dir(to), copyPrefix+filepath.Base(to))
	err := copyBytes(ctx, from, temp)
	if err == nil {
		err = check()
	}
	if err == nil {
		err = Sync(temp)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = Rename(temp, to)
	}
	if err != nil {
		os.Remove(temp)
	}
	return Explain(err)
}

func copyBytes(ctx context.Context, from, to string) error {
	// The child dies with the thread that started it, so that none goes on writing
	// after a kill. The thread must therefore outlive it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cp := exec.CommandContext(ctx, "cp", "--reflink=auto", "--", from, to)
	cp.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cp.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cp.WaitDelay = time.Second
	var said strings.Builder
	cp.Stderr = &said
	err := cp.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, reason := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EIO} {
		if strings.Contains(strings.ToLower(said.String()), reason.Error()) {
			return fmt.Errorf("copy %s: %w", from, reason)
		}
	}
	return fmt.Errorf("copy %s: %w: %s", from, err, strings.TrimSpace(said.String()))
}

// removeCopies removes what a kill left of copies.
func removeCopies(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), copyPrefix) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
