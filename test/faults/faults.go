// Package faults stands between the service and its files. It sees every operation
// that changes something below the data directory before it happens, DuckDB's and
// Go's alike, and lets it go on, answers it with an error, or kills the service at
// exactly that point.
//
// Start with [Supervise]. The service runs as it is: the kernel (seccomp user
// notification) stops each of these system calls and asks the test. The filter is
// installed by the test's own binary, which then becomes the service, so TestMain
// begins with [Launch]:
//
//	func TestMain(m *testing.M) {
//		faults.Launch()
//		os.Exit(m.Run())
//	}
//
//	s, err := faults.Supervise(dir, func(op faults.Op) faults.Verdict {
//		if op.Kind == faults.Sync && strings.HasSuffix(op.Path, ".wal") {
//			return faults.Fail(syscall.EIO)
//		}
//		return faults.GoOn
//	})
//	service.Start(ctx, service.Options{Wrap: s.Command(), …})
//
// Promised: operations are judged one at a time, in the order in which the kernel
// stopped them; one that is answered with an error or a kill did not happen. An
// operation that goes on may still run when the next one is judged, if another
// thread makes that.
//
// Not promised: reads, and changes through mmap or io_uring, which the service does
// not use, are not seen. Processes that the service starts are under the same
// filter, and their operations go on without being judged. It needs Linux 5.19 on
// amd64 or arm64, and a container that allows it; [Need] skips a test elsewhere.
package faults

import "syscall"

// Kind is what an operation does, whatever the system call is.
type Kind string

// The kinds.
const (
	Open     Kind = "open"     // an existing file, for writing
	Create   Kind = "create"   // or open, or empty: O_CREAT, O_TRUNC
	Write    Kind = "write"    // bytes, at any place
	Sync     Kind = "sync"     // fsync or fdatasync, of a file or a folder
	Truncate Kind = "truncate" // to any length
	Allocate Kind = "allocate" // fallocate
	Rename   Kind = "rename"
	Link     Kind = "link"
	Unlink   Kind = "unlink"
	Mkdir    Kind = "mkdir"
	Rmdir    Kind = "rmdir"
)

// Op is one operation below the root.
type Op struct {
	Kind Kind
	// Path is below the root, with slashes; "." is the root itself.
	Path string
	// To is the other path of a rename or a link. Of these two one is empty if it is
	// outside of the root.
	To string
}

// String is for logs and goldens: kind and paths.
func (o Op) String() string {
	if o.To == "" {
		return string(o.Kind) + " " + o.Path
	}
	return string(o.Kind) + " " + o.Path + " -> " + o.To
}

// Verdict is what becomes of an operation.
type Verdict struct {
	errno syscall.Errno
	kill  bool
}

// GoOn lets the operation happen.
var GoOn = Verdict{}

// Kill kills the process with SIGKILL; the operation does not happen.
var Kill = Verdict{kill: true}

// Fail answers the operation with an error; it does not happen. errno is not 0.
func Fail(errno syscall.Errno) Verdict { return Verdict{errno: errno} }
