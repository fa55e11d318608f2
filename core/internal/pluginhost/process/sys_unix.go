//go:build unix && !linux

package process

import "syscall"

// processAttributes gives the plugin a process group of its own. There is no
// Pdeathsig here: after a crash of the host the SDK notices within a second
// that its parent is gone.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// wait returns after the process has ended. Children that survive it are left
// alone: once it is reaped, its group's number may be another's.
func (c *child) wait() error {
	err := c.cmd.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reaped = true
	return err
}
