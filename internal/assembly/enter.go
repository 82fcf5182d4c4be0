package assembly

import (
	"context"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// holdTimeout bounds how long a node waits at its start for its store to be cleaned,
// which an earlier life of it may be at.
const holdTimeout = 15 * time.Second

// Enter registers the build as a release for the node to own. The result of its publish
// is nil if registry or store are unreachable: then it was known before. Errors: those of
// Publish, else ErrUnavailable, and ErrConflict if another node uses the directory.
func (b LocalBuild) Enter(ctx context.Context, from *Backends) (holdfast.ReleaseID, *publish.Result, error) {
	if b.StateDir != "" {
		if err := node.Free(b.StateDir); err != nil { // before anything is stored in its name
			return holdfast.ReleaseID{}, nil, err
		}
	}
	if from.OpenedStore == nil {
		id, err := b.recall(ctx, from)
		return id, nil, err
	}
	if b.Own != nil {
		holding, cancel := context.WithTimeout(ctx, holdTimeout)
		defer cancel()
		hold, err := b.Own.Hold(holding)
		if err != nil {
			return holdfast.ReleaseID{}, nil, err
		}
		defer hold.Close() //nolint:errcheck // a lock
	}
	result, err := b.Publish(ctx, from.Opened, from.OpenedStore)
	if err != nil {
		return holdfast.ReleaseID{}, nil, err
	}
	return result.Release.ID, result, nil
}

// recall finds the build in the registry's state, or the node's stored copy of it. In a
// node's own store all of it must exist as well: no other node need have it.
func (b LocalBuild) recall(ctx context.Context, from *Backends) (id holdfast.ReleaseID, err error) {
	var apps []*registry.AppState
	if from.Opened != nil {
		apps, err = from.Opened.Apps(ctx)
	} else if kept := node.Kept(b.StateDir); kept != nil {
		apps = kept.Apps
	}
	var r *registry.ReleaseInfo
	if err == nil {
		r, err = b.Recall(ctx, apps)
	}
	if err == nil && b.Own != nil {
		var own *store.Store
		if own, err = from.Store(ctx); err == nil {
			err = Stored(ctx, own, r)
		}
	}
	if err != nil {
		return id, fmt.Errorf("%w: registry and store must be there to make it known", err)
	}
	return r.ID, nil
}
