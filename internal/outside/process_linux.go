package outside

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// runAs makes a process run as another user where we may choose, and end with
// us, however we end.
func runAs(uid, gid int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return attr
}

// startHere starts cmd on a thread that lives as long as we do: Pdeathsig
// means the end of the thread that forked (prctl(2)).
func startHere(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}
