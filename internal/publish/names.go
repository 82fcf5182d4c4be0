package publish

import (
	"context"
	"fmt"
	"slices"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// attempts is how often a publish restarts when the store is cleaned beside it.
const attempts = 5

// errSwept: objects that the publish was going to refer to may be deleted. Stored objects
// that are safe are reused in the next attempt.
var errSwept = fmt.Errorf("%w: the store was cleaned meanwhile, and what was to be used again may be deleted; publish again", holdfast.ErrConflict)

// names decides which object names may be used. Names of the current generation cannot be
// on any condemned list that was recorded before it began, so no process is about to
// delete them; that no later list contains them is checked when a release refers to them.
type names struct {
	generation uint32
	down       *holdfast.Takedowns // objects that are dead are not used again

	mu     sync.Mutex
	spoilt map[holdfast.ObjectName]bool // it has other bytes, which are never replaced
}

// choose returns the name under which bytes with the digest stored are put: the
// one they are listed under, if there is such and it can be used, else one of the
// current generation, or the first after it that can be.
func (n *names) choose(stored holdfast.Digest, listed holdfast.ObjectName) holdfast.ObjectName {
	if listed.Digest == stored && n.usable(listed) {
		return listed
	}
	name := holdfast.ObjectName{Digest: stored, Incarnation: n.generation}
	for !n.usable(name) {
		name.Incarnation++
	}
	return name
}

// usable reports whether an object may be put, or used again, under the name.
func (n *names) usable(name holdfast.ObjectName) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	dead := n.down.Kills(name) && !n.down.Refuses(name.Digest) // refused bytes have no better name
	return !n.spoilt[name] && !dead
}

func (n *names) spoil(name holdfast.ObjectName) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.spoilt == nil {
		n.spoilt = make(map[holdfast.ObjectName]bool)
	}
	n.spoilt[name] = true
}

// rememberObjects remembers the objects that hold a blob, for a further attempt. Names that are
// older than the publish are those of a release, and as good as its inventory.
func (p *publication) rememberObjects(made []holdfast.Object) {
	if !slices.ContainsFunc(made, func(o holdfast.Object) bool { return o.Name.Incarnation < p.oldest }) {
		p.made[made[0].Digest] = made
	}
}

// moved reports whether a release whose objects are reused is gone or has another
// inventory: then they may be condemned, or deleted already. One that was gone for
// a while and came back has other objects.
func (p *publication) moved(now registry.Standing) bool {
	releases := now.Others
	if now.Own != nil {
		releases = append(slices.Clone(releases), *now.Own)
	}
	return slices.ContainsFunc(releases, func(r registry.ReleaseInfo) bool {
		inventory, reused := p.reusedFrom[r.ID]
		return reused && (r.State == holdfast.Gone || r.Inventory != inventory)
	})
}

// spared checks that no object of this publish was condemned since. Objects of other
// releases cannot be: that those releases still exist is checked separately.
func (p *publication) spared(ctx context.Context, now registry.Sweep) error {
	lists, known := now.After(p.oldest)
	if !known {
		clear(p.made)
		p.oldest = now.Generation
		return errSwept
	}
	condemned := false
	for _, l := range lists {
		if l.Empty() {
			continue
		}
		list, err := p.Store.Condemned(ctx, l.List)
		if err != nil {
			return err
		}
		condemned = p.strike(list) || condemned
	}
	if condemned {
		return errSwept
	}
	return nil
}

// strike forgets items on a list, and reports whether there were any.
func (p *publication) strike(list *holdfast.Condemned) (found bool) {
	for blob, objects := range p.made {
		if slices.ContainsFunc(objects, func(o holdfast.Object) bool {
			return o.Name.Incarnation < list.Generation() && list.HasObject(o.Name)
		}) {
			delete(p.made, blob)
			found = true
		}
	}
	return found || list.HasInventory(p.inventory)
}
