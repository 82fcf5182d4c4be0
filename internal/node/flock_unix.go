//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package node

import (
	"errors"
	"os"
	"syscall"
)

// flock locks an open file for this process alone, until that ends or closes it;
// errLocked if another one has.
func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}
