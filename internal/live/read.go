package live

import (
	"context"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	// retryAfter is how long a read may go unanswered before another one is started
	// beside it: a recovered registry answers that one, even if the first one hangs.
	retryAfter = 700 * time.Millisecond
	// maxUnanswered is how many of those in a row may go unanswered before the registry
	// counts as out of reach.
	maxUnanswered = 2
)

// answer is the outcome of a call of Refresh.
type answer struct {
	snap *registry.Snapshot
	err  error
}

// read returns the registry's state, if it can follow the one that is served.
func (k *Keeper) read(ctx context.Context) (*registry.Snapshot, error) {
	deadline := k.options.Deadline
	if k.snapshot == nil && k.options.Last != nil {
		deadline = min(deadline, beginWithin)
	}
	snap, err := k.readWithRetry(ctx, deadline)
	if err == nil {
		err = k.follows(snap)
	}
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	return snap, nil
}

// readWithRetry reads patiently, for a registry that is slow, and, while that is not
// answered, again every so often, for one that has lost the question. So there are
// two calls at a time at most, and a registry that is back is heard soon.
func (k *Keeper) readWithRetry(ctx context.Context, deadline time.Duration) (*registry.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	patient, again := k.call(ctx, deadline), (<-chan answer)(nil)
	tick := time.NewTicker(retryAfter)
	defer tick.Stop()
	for n := 0; ; {
		select {
		case a := <-patient:
			return a.snap, a.err
		case a := <-again:
			if a.err == nil {
				return a.snap, nil
			}
			again = nil
		case <-tick.C:
			if n++; n > maxUnanswered {
				err := fmt.Errorf("%w: it does not answer", holdfast.ErrUnavailable)
				k.requests.trip(err)
				k.setReadError(err)
			}
			again = k.call(ctx, retryAfter)
		}
	}
}

// call starts a call of Refresh; Run waits for its end.
func (k *Keeper) call(ctx context.Context, deadline time.Duration) <-chan answer {
	k.asked = time.Now()
	prev, out := k.lastKnown(), make(chan answer, 1)
	k.asking.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		snap, err := k.registry.Refresh(ctx, prev)
		out <- answer{snap, err}
	})
	return out
}

// follows returns an error unless snap can follow what is served, or was served before a
// restart.
func (k *Keeper) follows(snap *registry.Snapshot) error {
	switch old := k.lastKnown(); {
	case old == nil:
	case snap.Registry != old.Registry && snap.Registry != k.options.AcceptRegistry:
		return fmt.Errorf("%w: the registry is now %s, this node serves what %s said: restart it and have it accept registry %s if that is meant",
			holdfast.ErrConflict, snap.Registry, old.Registry, snap.Registry)
	case snap.Registry != old.Registry:
		k.options.Logger.Warn("another registry is followed from now on, as an operator allowed", "registry", snap.Registry, "before", old.Registry)
	case snap.Revision < old.Revision:
		return fmt.Errorf("%w: the registry went back from revision %d to %d: restart this node without its state if that is meant",
			holdfast.ErrConflict, old.Revision, snap.Revision)
	}
	return nil
}
