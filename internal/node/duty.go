package node

import (
	"context"
	"errors"
	"iter"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Duty is continuous work that the elected node does for the cluster, whenever something
// changes. It changes the registry in the leader's name.
type Duty struct {
	Name string
	// Run does it until ctx ends with the leadership. snapshots yields the state of
	// the registry as the node knows it, now and after each change, until ctx ends.
	Run func(ctx context.Context, l *registry.Leadership, snapshots iter.Seq[*registry.Snapshot]) error
}

// duties does the pending work until ctx ends, and waits for running work.
func (n *Node) duties(ctx context.Context, l *registry.Leadership) {
	var running sync.WaitGroup
	for i, d := range n.config.Duties {
		running.Go(func() { n.duty(ctx, l, d, n.toDuty[i]) })
	}
	running.Wait()
}

func (n *Node) duty(ctx context.Context, l *registry.Leadership, d Duty, swapped wait.Hint) {
	var told said
	for ctx.Err() == nil {
		swapped.Give()
		err := d.Run(ctx, l, n.snapshots(ctx, swapped))
		switch {
		case ctx.Err() != nil || errors.Is(err, holdfast.ErrLeaseLost):
			return
		case told.news(err):
			n.config.Logger.Warn("duty of the cluster failed", "duty", d.Name, "error", err)
		}
		_ = wait.About(ctx, leadRetry)
	}
}

// snapshots yields the keeper's snapshots, after each hint.
func (n *Node) snapshots(ctx context.Context, swapped wait.Hint) iter.Seq[*registry.Snapshot] {
	return func(yield func(*registry.Snapshot) bool) {
		for {
			select {
			case <-ctx.Done():
				return
			case <-swapped:
			}
			if s := n.keeper.Snapshot(); s != nil && !yield(s) {
				return
			}
		}
	}
}
