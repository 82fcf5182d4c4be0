package prune

import (
	"context"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// skew is how far the clocks of publishers and of the store may differ before a publish
// in progress has to store objects twice, which is the only consequence.
const skew = 10 * time.Minute

// memory is how long an abandoned or killed publish is remembered. Its process may only
// be stopped, with a manifest on the way to the store that would otherwise be unknown.
const memory = 30 * 24 * time.Hour

// unfinished are the publishes that have not added their release.
type unfinished struct {
	uploads []registry.LeaseInfo // including abandoned ones
	running map[string]bool      // by ID
	begun   time.Time            // of the oldest in progress; zero if there is none
}

func (p *pruner) unfinished(ctx context.Context) (*unfinished, error) {
	leases, err := p.Registry.Leases(ctx)
	if err != nil {
		return nil, err
	}
	u := &unfinished{running: make(map[string]bool)}
	for _, l := range leases {
		u.running[l.ID] = true
		if u.begun.IsZero() || l.Started.Before(u.begun) {
			u.begun = l.Started
		}
	}
	u.uploads, err = p.Registry.Uploads(ctx)
	return u, err
}

// forget forgets publishes that ended long ago, unless they are all that is known about
// the manifest they left in the store.
func (p *pruner) forget(ctx context.Context, u *unfinished, strange map[holdfast.Digest]bool) error {
	if p.DryRun {
		return nil
	}
	var some []registry.LeaseInfo
	kept := make(map[holdfast.Digest]bool)
	for _, up := range u.uploads {
		_, needed := strange[up.Manifest]
		if u.running[up.ID] || p.now().Sub(up.Started) < memory || needed && !kept[up.Manifest] {
			kept[up.Manifest] = true
			continue
		}
		some = append(some, up)
	}
	return p.Registry.Forget(ctx, some)
}

// young reports whether an object may belong to a publish in progress, or is younger than
// the floor.
func (p *pruner) young(u *unfinished, created time.Time) bool {
	return p.now().Sub(created) < p.Floor || !u.begun.IsZero() && !created.Before(u.begun.Add(-skew))
}
