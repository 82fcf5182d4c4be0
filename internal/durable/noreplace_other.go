//go:build !linux

package durable

import (
	"errors"
	"os"
)

// renameNoReplace: this operating system has links or nothing.
func renameNoReplace(_ *os.Root, old, new string) error {
	return &os.LinkError{Op: "rename", Old: old, New: new, Err: errors.ErrUnsupported}
}
