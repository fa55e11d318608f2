package faults

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The first argument of a test's binary that is to become something else.
const (
	launchArg = "faults-launch" // then the socket of the supervisor, then the command line
	probeArg  = "faults-probe"
)

// Launch is the first thing that TestMain does. In a process that is to become the
// service it does not return.
func Launch() {
	if len(os.Args) < 2 || os.Args[1] != launchArg && os.Args[1] != probeArg {
		return
	}
	// The filter holds for this thread, and for what it becomes.
	runtime.LockOSThread()
	var err error
	switch {
	case os.Args[1] == probeArg:
		_, err = install()
	case len(os.Args) < 4:
		err = fmt.Errorf("%s needs a socket and a command line", launchArg)
	default:
		err = launch(os.Args[2], os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// launch hands the listener to the supervisor and becomes the command.
func launch(socket string, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	supervisor, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Connect(supervisor, &unix.SockaddrUnix{Name: socket}); err != nil {
		return fmt.Errorf("the supervisor: %w", err)
	}
	listener, err := install()
	if err != nil {
		return err
	}
	// From here on this thread must not make a call that the filter stops, until the
	// supervisor reads it.
	if err := unix.Sendmsg(supervisor, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return err
	}
	if n, err := unix.Read(supervisor, make([]byte, 1)); err != nil || n != 1 {
		return errors.Join(errors.New("the supervisor left"), err)
	}
	return syscall.Exec(path, command, os.Environ())
}

// RequiredEnv makes it a failure, with the value 1, that a test cannot supervise.
const RequiredEnv = "FAULTS_REQUIRED"

// Need skips a test where it cannot supervise a process, and says why. TestMain must
// have called Launch.
func Need(t testing.TB) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), self, probeArg).CombinedOutput()
	switch {
	case err == nil:
	case os.Getenv(RequiredEnv) == "1":
		t.Fatalf("%s=1, and a test cannot supervise a process here: %v: %s", RequiredEnv, err, out)
	default:
		t.Skipf("a test cannot supervise a process here: %v: %s", err, out)
	}
}

// receive takes the listener from the process that launch runs in.
func receive(conn *net.UnixConn) (listener, pid int, err error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return 0, 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return 0, 0, err
	}
	if len(messages) != 1 {
		return 0, 0, errors.New("the launcher sent no listener")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, 0, err
	}
	unix.CloseOnExec(fds[0])
	pid, err = peer(conn)
	return fds[0], pid, err
}

// peer is the process at the other end. It stays the same when it becomes another
// program.
func peer(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}
