package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// leastEvery is the shortest time between two runs of a chore.
const leastEvery = time.Second

// parseEvery reads how often a chore is done; off is 0.
func parseEvery(text string) (time.Duration, error) {
	if text == "off" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < leastEvery {
		return 0, fmt.Errorf("want a duration such as 1h or 30m, or off")
	}
	return d, nil
}

// chores are what a node of the command line does when it leads.
func chores(from *origin, o serveOptions, log *slog.Logger) []node.Chore {
	var all []node.Chore
	if o.prune > 0 {
		all = append(all, node.Chore{Name: "prune", Every: o.prune, Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
			return pruneOnce(ctx, from, l, log)
		}})
	}
	return all
}

// pruneOnce prunes in the leader's name, and returns when the next list is due.
func pruneOnce(ctx context.Context, from *origin, l *registry.Leadership, log *slog.Logger) (time.Duration, error) {
	s, err := from.store(ctx)
	if err != nil {
		return 0, err
	}
	floor, err := pruneFloor()
	if err != nil {
		return 0, err
	}
	space, _, err := s.Space(ctx)
	if err != nil {
		return 0, err
	}
	if space.Scarce() {
		log.Warn("the store is running full: retired releases lose their bytes at once", "free", space.Free, "total", space.Total)
	}
	r, err := prune.Run(ctx, prune.Config{Registry: l.Registry(), Store: s, Logger: log, Floor: floor}, prune.Options{Urgent: space.Scarce()})
	if errors.Is(err, holdfast.ErrNotFound) {
		return 0, nil // nothing was published yet
	}
	var again time.Duration
	for _, p := range r.Pending {
		if due := max(time.Until(p.Due), leastEvery); again == 0 || due < again {
			again = due
		}
	}
	return again, err
}
