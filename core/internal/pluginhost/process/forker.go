package process

import (
	"os/exec"
	"runtime"
)

// forker starts processes from one operating system thread that lives until
// close.
//
// Pdeathsig is about threads: the kernel kills the child when the *thread* that
// forked it ends. Go ends threads whenever it likes (a locked goroutine that
// returns is enough), so whoever may call Start cannot fork: this goroutine
// does, and it must live longer than every process it has started.
type forker struct {
	requests chan forkRequest
	done     chan struct{}
}

type forkRequest struct {
	cmd    *exec.Cmd
	result chan<- error
}

func newForker() *forker {
	f := &forker{requests: make(chan forkRequest), done: make(chan struct{})}
	go f.run()
	return f
}

func (f *forker) run() {
	defer close(f.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for r := range f.requests {
		r.result <- r.cmd.Start()
	}
}

// start is cmd.Start on the forker's thread.
func (f *forker) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	f.requests <- forkRequest{cmd, result}
	return <-result
}

// close ends the thread; every process it has started must have ended.
func (f *forker) close() {
	close(f.requests)
	<-f.done
}
