package service

import "syscall"

// attributes have the kernel end the service together with who started it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
