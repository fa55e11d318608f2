package faults

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Supervisor judges the operations of one process, from its start to its end.
type Supervisor struct {
	root   string
	judge  func(Op) Verdict
	self   string
	socket *net.UnixListener
	calls  map[int]call
	wake   [2]int // a pipe; closing its writing end ends the loop
	done   chan struct{}
	closed sync.Once

	pid int // of the process, set before its first operation

	mu    sync.Mutex
	stats Stats
	err   error
}

// Stats is what supervising cost.
type Stats struct {
	// Stopped are all calls that the kernel stopped, Judged those of them that were
	// below the root.
	Stopped, Judged int
	// Busy is how long the supervisor worked on them, without the kernel's part.
	Busy time.Duration
}

// Supervise waits in the background for a process that is started by Command, and
// asks judge about each of its operations below root, a folder. judge is called
// from one goroutine. It must return soon: the process waits.
func Supervise(root string, judge func(Op) Verdict) (*Supervisor, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// A name that starts with @ is in no folder and goes with the socket.
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: "@faults-" + rand.Text()})
	if err != nil {
		return nil, err
	}
	s := &Supervisor{root: root, judge: judge, self: self, socket: socket, calls: calls(), done: make(chan struct{})}
	if err := unix.Pipe2(s.wake[:], unix.O_CLOEXEC); err != nil {
		socket.Close()
		return nil, err
	}
	go s.run()
	return s, nil
}

// Command starts a command line that follows it under supervision: the first
// argument is a program. It serves once.
func (s *Supervisor) Command() []string {
	return []string{s.self, launchArg, s.socket.Addr().String()}
}

// Stats tells what supervising cost so far.
func (s *Supervisor) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close ends supervising and returns what went wrong with it. The process should
// have ended: what it does from now on fails with ENOSYS. It may be called twice.
func (s *Supervisor) Close() error {
	s.closed.Do(func() {
		unix.Close(s.wake[1])
		s.socket.Close()
		<-s.done
		unix.Close(s.wake[0])
	})
	return s.err
}

func (s *Supervisor) run() {
	defer close(s.done)
	conn, err := s.socket.AcceptUnix()
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			s.err = err
		}
		return
	}
	defer conn.Close()
	listener, pid, err := receive(conn)
	if err != nil {
		s.err = fmt.Errorf("take the listener: %w", err)
		return
	}
	defer unix.Close(listener)
	s.pid = pid
	// The waking thread's processor goes to the woken one: it is what that waits
	// for. Kernels before 6.6 do not know it.
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(listener), ioctlSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	if _, err := conn.Write([]byte{0}); err != nil {
		s.err = err
		return
	}
	s.err = s.serve(listener)
}

// The kernel's structures and requests, as in linux/seccomp.h.
type (
	notification struct {
		id    uint64
		tid   uint32
		flags uint32
		call  struct {
			number int32
			arch   uint32
			ip     uint64
			args   [6]uint64
		}
	}
	response struct {
		id    uint64
		value int64
		err   int32
		flags uint32
	}
)

const ioctlSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS

// serve answers stopped calls until nobody is under the filter any more, or Close.
func (s *Supervisor) serve(listener int) error {
	poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}, {Fd: int32(s.wake[0]), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(poll, -1); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return err
		}
		switch {
		case poll[1].Revents != 0, poll[0].Revents&unix.POLLIN == 0:
			return nil
		}
		var n notification
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
			if errors.Is(err, unix.EINTR) || errors.Is(err, unix.ENOENT) { // the thread is gone
				continue
			}
			return fmt.Errorf("read a stopped call: %w", err)
		}
		if err := s.answer(listener, &n); err != nil {
			return err
		}
	}
}

func (s *Supervisor) answer(listener int, n *notification) error {
	began := time.Now()
	op, ours := s.resolve(n)
	verdict := GoOn
	if ours {
		verdict = s.judge(op)
	}
	s.mu.Lock()
	s.stats.Stopped++
	if ours {
		s.stats.Judged++
	}
	s.stats.Busy += time.Since(began)
	s.mu.Unlock()
	r := response{id: n.id}
	switch {
	case verdict.kill:
		// Without an answer: the call never happens.
		return unix.Kill(s.pid, unix.SIGKILL)
	case verdict.errno != 0:
		r.err = -int32(verdict.errno)
	default:
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("answer a stopped call: %w", err)
	}
	return nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
