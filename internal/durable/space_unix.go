//go:build linux || darwin

package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space returns the bytes of the file system at path that are free for this user, and its
// total bytes.
func Space(path string) (free, total uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	size := uint64(st.Bsize) //nolint:gosec // a block's size is positive
	return st.Bavail * size, st.Blocks * size, nil
}
