// Package durable writes files that survive crashes of the process and of the
// machine: temporary file, fsync, a new name, fsync of the directory. It works
// over a small file-system seam, so that tests can inject faults at every step
// and lose whatever was not synced; package durabletest has such file systems.
//
// It asks little of a file system, so that NFS will do: exclusive create,
// link(2) or renameat2(RENAME_NOREPLACE), rename and fsync. No locks, no
// O_TMPFILE, and no file is ever changed once it has its final name.
package durable

import (
	"io"
	"io/fs"
)

// FS is a tree of files. Names are as fs.ValidPath wants them, "." is the root.
// Errors wrap fs.ErrNotExist and fs.ErrExist where these fit. All methods may be
// called concurrently.
type FS interface {
	Reader
	Writer
}

// Reader is the half of FS that changes nothing.
type Reader interface {
	// Open opens a file or a directory for reading and for Sync.
	Open(name string) (File, error)
	// Stat describes a file or a directory.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a directory, in any order.
	ReadDir(name string) ([]fs.DirEntry, error)
}

// Writer is the half of FS that changes names. No change of a name is durable
// before the directory that holds it was synced.
type Writer interface {
	// Create makes a file that must not exist and opens it for writing.
	Create(name string) (File, error)
	// Mkdir makes a directory that must not exist in one that does.
	Mkdir(name string) error
	// Link atomically gives the file old the name new, which must not exist.
	// Whether the name old is left over depends on the file system.
	Link(old, new string) error
	// Rename atomically gives the file old the name new, replacing it.
	Rename(old, new string) error
	// Remove deletes a file.
	Remove(name string) error
}

// File is an open file or directory.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	// Sync makes the bytes of a file, or the names in a directory, durable.
	Sync() error
	Stat() (fs.FileInfo, error)
}
