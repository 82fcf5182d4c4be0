package dirstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-web/holdfast/internal/durable"
)

// ErrLocal is of a directory on a disk of this machine.
var ErrLocal = errors.New("it lies on a disk of this machine, nothing is mounted there")

// MayBegin reports why a store that is to be shared had better not begin in the
// directory, or nil: it is local, which is an ErrLocal, or it holds something.
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
		// What servers keep there is no obstacle: .snapshot, .nfs0000…, lost+found.
		if name := e.Name(); !strings.HasPrefix(name, ".") && name != "lost+found" {
			return fmt.Errorf("it holds something else: %s", name)
		}
	}
	return nil
}
