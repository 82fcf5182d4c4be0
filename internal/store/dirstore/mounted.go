package dirstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// ErrLocal means that a directory is on a local disk.
var ErrLocal = errors.New("it lies on a disk of this machine, nothing is mounted there")

// MayBegin reports why a shared store should not be created in the directory, or nil: it
// is local, which is an ErrLocal, or it is not empty.
func (d *Driver) MayBegin(ctx context.Context) error {
	_, err := await(ctx, d, place{"look at", "."}, stall,
		func(context.Context, func()) (struct{}, error) { return struct{}{}, d.mayBegin() }, nothing)
	return err
}

func (d *Driver) mayBegin() error {
	network, err := durable.Network(d.dir)
	if err != nil {
		return err
	}
	if network == "" {
		return ErrLocal
	}
	entries, err := d.fsys.ReadDir(".")
	if err != nil {
		return d.fail("look at", ".", err)
	}
	for _, e := range entries {
		// Entries made by file servers do not count: .snapshot, .nfs0000…, lost+found.
		if name := e.Name(); !strings.HasPrefix(name, ".") && name != "lost+found" {
			return fmt.Errorf("it holds something else: %s", name)
		}
	}
	return nil
}
