package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"io"

	holdfast "github.com/holdfast-web/holdfast"
)

// Preparation asks the running nodes of a side to load a release that is about to become
// live. It names the data they need, so that they can start before they have read the
// release itself.
type Preparation struct {
	ID        string             `json:"id"`
	App       holdfast.AppName   `json:"app"`
	Side      holdfast.Side      `json:"side"`
	Release   holdfast.ReleaseID `json:"release"`
	Manifest  holdfast.Digest    `json:"manifest"`
	Inventory holdfast.Digest    `json:"inventory"`
}

// Prepare asks the nodes of side to load a release, until the caller closes the result,
// or dies. NodeInfo.Ready lists loaded releases, NodeInfo.Failing the reasons for
// failures.
func (r *Registry) Prepare(ctx context.Context, app holdfast.AppName, side holdfast.Side, release holdfast.Release) (io.Closer, error) {
	lease, err := r.db.lease(ctx, r.leaseTTL)
	if err != nil {
		return nil, wrap("prepare release "+release.ID.String(), err)
	}
	p := Preparation{rand.Text(), app, side, release.ID, release.Manifest, release.Inventory}
	if _, err := r.createLeased(ctx, prepareDir+"/"+p.ID, p, lease); err != nil {
		return nil, errors.Join(wrap("prepare release "+release.ID.String(), err), lease.Close())
	}
	return lease, nil
}

// FollowPreparations reports all preparations, by ID, now and on each change, until ctx
// ends or they cannot be read. While there are none it costs a watch, and no read.
func (r *Registry) FollowPreparations(ctx context.Context, tell func([]Preparation)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hints, err := r.db.watch(ctx, prepareDir)
	if err != nil {
		return wrap("watch "+prepareDir, err)
	}
	for {
		all, err := readDir[Preparation](ctx, r, prepareDir)
		if err != nil {
			return err
		}
		tell(all)
		if _, ok := <-hints; !ok { // ctx has ended, or the driver is closed
			return ctx.Err()
		}
	}
}
