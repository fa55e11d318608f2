package process

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// processAttributes gives the plugin a process group of its own, so that it can
// be killed with its children and gets no signal that was meant for the host,
// and makes the kernel kill it when the forker's thread ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// wait returns after the process has ended and what was left of its group is
// killed.
//
// The process is not reaped before that: as long as it is a zombie, no other
// group can have its number.
func (c *child) wait() error {
	err := unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	for errors.Is(err, syscall.EINTR) {
		err = unix.Waitid(unix.P_PID, c.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	c.reaped = true
	return c.cmd.Wait()
}
