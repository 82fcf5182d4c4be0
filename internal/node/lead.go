package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// leadRetry is the longest pause before a node campaigns again after a failure, and
// before a leader retries failed work.
const leadRetry = time.Second

// lead campaigns for the leadership of the cluster, and does the cluster's work
// while it has it. Serving does not depend on it.
func (n *Node) lead(ctx context.Context) error {
	var told said
	for ctx.Err() == nil {
		err := n.term(ctx)
		if ctx.Err() == nil && told.news(err) {
			n.config.Logger.Warn("not leading", "error", err)
		}
		_ = wait.About(ctx, leadRetry)
	}
	return nil
}

// term is one campaign and, if it is won, one epoch.
func (n *Node) term(ctx context.Context) error {
	if !n.confirmed(ctx) || !n.mayLead() {
		return nil
	}
	l, err := n.config.Registry.Campaign(ctx, registry.LeaderInfo{
		Name: n.config.Name, Address: n.address(), Version: n.config.Version,
	})
	if err != nil {
		return err
	}
	n.config.Logger.Info("elected leader", "epoch", l.Epoch())
	n.leading.Store(true)
	err = n.work(ctx, l)
	n.leading.Store(false)
	return errors.Join(err, l.Close())
}

// mayLead reports whether the node can do the cluster's work.
func (n *Node) mayLead() bool {
	return n.config.MayLead == nil || n.config.MayLead(n.keeper.Snapshot())
}

// work does the cluster's work until the epoch ends, or may have ended, or the node
// cannot do it any more. Work in progress then changes nothing any more.
func (n *Node) work(ctx context.Context, l *registry.Leadership) error {
	if !n.mayLead() {
		return nil // that came while it campaigned
	}
	var told said
	ctx, cancel := context.WithCancel(ctx)
	var chores sync.WaitGroup
	chores.Go(func() { n.chores(ctx, l) })
	chores.Go(func() { n.duties(ctx, l) })
	defer chores.Wait()
	defer cancel()
	n.toReconcile.Give()
	again := time.NewTimer(leadRetry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.Done():
			return fmt.Errorf("epoch %d: %w", l.Epoch(), holdfast.ErrLeaseLost)
		case <-n.toReconcile:
		case <-again.C:
		}
		if !n.mayLead() {
			n.config.Logger.Info("leadership given up: another node has to do what the cluster's work is now", "epoch", l.Epoch())
			return nil
		}
		err := n.reconcile(ctx, l)
		if errors.Is(err, holdfast.ErrLeaseLost) {
			return err
		}
		if err != nil {
			again.Reset(leadRetry)
		}
		if ctx.Err() == nil && told.news(err) {
			n.config.Logger.Warn("history of foreign activations not written yet", "error", err)
		}
	}
}

func (n *Node) reconcile(ctx context.Context, l *registry.Leadership) error {
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	return l.Registry().Reconcile(call, n.keeper.Snapshot())
}

// confirmed waits until the table comes from the registry, and not from before a
// restart; it returns false if ctx ends first.
func (n *Node) confirmed(ctx context.Context) bool {
	for !n.keeper.Health().Confirmed {
		if ctx.Err() != nil {
			return false
		}
		_ = wait.About(ctx, confirmPoll)
	}
	return true
}
