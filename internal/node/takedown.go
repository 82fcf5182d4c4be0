package node

import (
	"context"
	"errors"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Holder keeps bytes, in memory or on a disk; *blob.Source is one.
type Holder interface {
	// Forbid drops all taken-down bytes and keeps none in the future. After an error it
	// is called again.
	Forbid(ctx context.Context, down *holdfast.Takedowns) error
}

// forbidFor bounds one attempt to remove taken-down bytes.
const forbidFor = time.Minute

// forbid makes all holders drop taken-down bytes after each change, and then updates the
// node's entry. The table answers 410 before that.
func (n *Node) forbid(ctx context.Context) error {
	var told said
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.toForbid:
		case <-again.C:
		}
		snap := n.keeper.Snapshot()
		if snap == nil || snap.Takedowns.Seq() <= n.takenDown.Load() {
			continue
		}
		if err := n.forbidAll(ctx, snap.Takedowns); err != nil {
			again.Reset(leadRetry)
			if ctx.Err() == nil && told.news(err) {
				n.config.Logger.Error("bytes that were taken down answer 410, and are not removed from this node yet; trying again", "error", err)
			}
			continue
		}
		n.takenDown.Store(snap.Takedowns.Seq())
		n.config.Logger.Info("bytes that were taken down are removed from this node", "takedowns", len(snap.Takedowns.All()))
		n.swapped.Give()
	}
}

// forbidAll waits for no disk that hangs longer than it has to.
func (n *Node) forbidAll(ctx context.Context, down *holdfast.Takedowns) error {
	ctx, cancel := context.WithTimeout(ctx, forbidFor)
	defer cancel()
	done := make(chan error, len(n.config.Holders))
	for _, h := range n.config.Holders {
		go func() { done <- h.Forbid(ctx, down) }()
	}
	var errs []error
	for range n.config.Holders {
		select {
		case err := <-done:
			errs = append(errs, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(errs...)
}
