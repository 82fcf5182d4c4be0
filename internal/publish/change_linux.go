package publish

import (
	"io/fs"
	"syscall"
	"time"
)

// changeOf returns the file system's record of the last change to a file (stat(2):
// st_ctim, st_dev, st_ino).
func changeOf(info fs.FileInfo) change {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return change{}
	}
	return change{true, time.Unix(s.Ctim.Unix()), uint64(s.Dev), s.Ino} //nolint:unconvert // on some processors
}
