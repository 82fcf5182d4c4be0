package durable

import (
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// renameNoReplace is renameat2(2) with RENAME_NOREPLACE, below root.
func renameNoReplace(root *os.Root, old, new string) error {
	from, err := root.Open(path.Dir(old))
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // nothing was written
	to, err := root.Open(path.Dir(new))
	if err != nil {
		return err
	}
	defer to.Close() //nolint:errcheck // nothing was written
	err = unix.Renameat2(int(from.Fd()), path.Base(old), int(to.Fd()), path.Base(new), unix.RENAME_NOREPLACE)
	if err != nil {
		return &os.LinkError{Op: "renameat2", Old: old, New: new, Err: err}
	}
	return nil
}
