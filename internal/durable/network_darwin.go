package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Network names the type of the file system at path if it is a network file system, where
// several machines may have a file open; otherwise "".
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
