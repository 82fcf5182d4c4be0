// Package durable writes files that survive crashes of the process and of the machine:
// temporary file, fsync, a new name, fsync of the directory. It works over a small
// file-system interface, so that tests can inject faults at every step and lose
// everything that was not synced; package durabletest has such file systems.
//
// It requires little of a file system, so that NFS suffices: exclusive create, link(2) or
// renameat2(RENAME_NOREPLACE), rename and fsync. It uses no locks and no O_TMPFILE, and
// never changes a file once it has its final name.
package durable

import (
	"io"
	"io/fs"
)

// FS is a tree of files. Names are valid for fs.ValidPath, "." is the root. Errors wrap
// fs.ErrNotExist and fs.ErrExist where these fit. All methods may be called concurrently.
type FS interface {
	Reader
	Writer
}

// Reader is the read half of FS.
type Reader interface {
	// Open opens a file or a directory for reading and for Sync.
	Open(name string) (File, error)
	// Stat describes a file or a directory.
	Stat(name string) (fs.FileInfo, error)
	// ReadDir lists a directory, in any order.
	ReadDir(name string) ([]fs.DirEntry, error)
}

// Writer is the half of FS that changes names. No change of a name is durable before the
// directory that contains it is synced.
type Writer interface {
	// Create creates a file that must not exist and opens it for writing.
	Create(name string) (File, error)
	// Mkdir creates a directory that must not exist in one that does.
	Mkdir(name string) error
	// Link atomically gives the file old the name new, which must not exist. Whether the
	// name old remains depends on the file system.
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
