package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Chore is periodic work that the elected node does for the cluster. It changes the
// registry in the leader's name.
type Chore struct {
	Name  string
	Every time.Duration
	// Do does it once; ctx ends with the leadership. again, if it is not zero, is
	// when there is more to do, if that is before Every has passed.
	Do func(ctx context.Context, l *registry.Leadership) (again time.Duration, err error)
}

// chores does the pending work until ctx ends, and waits for running work.
func (n *Node) chores(ctx context.Context, l *registry.Leadership) {
	var running sync.WaitGroup
	for _, c := range n.config.Chores {
		running.Go(func() { n.chore(ctx, l, c) })
	}
	running.Wait()
}

func (n *Node) chore(ctx context.Context, l *registry.Leadership, c Chore) {
	var told said
	// Not at once: after a restart of the whole cluster there is better to do, and
	// nodes that change the lead every minute would do nothing else.
	rest := c.Every/16 + rand.N(c.Every/16+1)
	for {
		if wait.For(ctx, rest) != nil {
			return
		}
		again, err := c.Do(ctx, l)
		switch {
		case ctx.Err() != nil || errors.Is(err, holdfast.ErrLeaseLost):
			return
		case told.news(err):
			n.config.Logger.Warn("chore of the cluster failed", "chore", c.Name, "error", err)
		}
		rest = c.Every
		if again > 0 {
			rest = min(again, c.Every)
		}
	}
}
