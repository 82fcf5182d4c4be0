package asset

import (
	"context"
	"time"

	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// pruneEvery is how often a program that leads retires what policy does not keep.
const pruneEvery = time.Hour

// lead has the node lead, if it is one that can do all of the cluster's work: where nodes
// share no store, nothing in one has to be swept or verified, and what is left is policy.
// Hooks are what it has not: while an app names any, it leaves the lead to holdfast serve.
func (j *joined) lead(c *node.Config) {
	if c.NoElection = j.place == nil; c.NoElection {
		return
	}
	c.MayLead = hookless
	c.Chores = []node.Chore{{Name: "prune", Every: pruneEvery, Do: j.prune}}
}

func hookless(snap *registry.Snapshot) bool {
	for _, app := range snap.Apps {
		if len(app.Settings.Hooks) > 0 {
			return false
		}
	}
	return true
}

// prune retires in the leader's name. What is gone each node removes from its own store.
func (j *joined) prune(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
	s, err := j.origin.Store(ctx)
	if err != nil {
		return 0, err
	}
	return prune.Turn(ctx, prune.Config{Registry: l.Registry(), Store: s, Logger: j.log}, prune.Options{PolicyOnly: true})
}
