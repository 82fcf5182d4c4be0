package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Network names the file system that path lies on if it is one of a network, on
// which several machines may have one file open, else "".
func Network(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	switch name := unix.ByteSliceToString(st.Fstypename[:]); name {
	case "nfs", "smbfs", "afpfs", "webdav", "ftp":
		return name, nil
	}
	return "", nil
}
