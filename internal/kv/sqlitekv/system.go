package sqlitekv

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// notWritable returns why this user cannot write the file or its directory, or nil.
func notWritable(path string) error {
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := unix.Access(p, unix.W_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// limited returns EFBIG if this process has a file size limit: SQLite reports only that a
// write failed.
func limited() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil || limit.Cur == unix.RLIM_INFINITY {
		return nil
	}
	return syscall.EFBIG
}
