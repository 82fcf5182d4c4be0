//go:build !linux

package durable

import (
	"errors"
	"os"
)

// renameNoReplace: this operating system has only links.
func renameNoReplace(_ *os.Root, old, new string) error {
	return &os.LinkError{Op: "rename", Old: old, New: new, Err: errors.ErrUnsupported}
}
