package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/origin"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/scrub"
)

// leastEvery is the shortest time between two runs of a chore.
const leastEvery = time.Second

// parseEvery reads how often a chore is done; off is 0.
func parseEvery(text string) (time.Duration, error) {
	if text == "off" {
		return 0, nil
	}
	d, err := holdfast.ParseDuration(text)
	if err != nil || d < leastEvery {
		return 0, fmt.Errorf("want a duration such as 7d, 1h or 30m, or off")
	}
	return d, nil
}

// chores are what a node of the command line does when it leads.
func (c *cli) chores(from *origin.Origin, o serveOptions, log *slog.Logger) []node.Chore {
	var all []node.Chore
	if o.prune > 0 {
		all = append(all, node.Chore{Name: "prune", Every: o.prune, Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
			return pruneOnce(ctx, from, l, prune.Options{PolicyOnly: c.private()}, log)
		}})
	}
	if o.scrub > 0 && !c.private() { // a store that is one node's own lacks what the others brought
		// Whoever leads finds out in the registry whether it is time again.
		all = append(all, node.Chore{Name: "scrub", Every: min(o.scrub, scrubLook), Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
			return 0, scrubOnce(ctx, from, l, o, log)
		}})
	}
	return all
}

// scrubLook is how often a leader looks whether a scrub is due.
const scrubLook = time.Hour

// scrubOnce reads all of the store if it is time, and reports what is wrong. To
// repair it takes somebody who looks into the cause first: holdfast verify --repair.
func scrubOnce(ctx context.Context, from *origin.Origin, l *registry.Leadership, o serveOptions, log *slog.Logger) error {
	last, err := l.Registry().LastScrub(ctx)
	if err != nil || time.Since(last.Done) < o.scrub {
		return err
	}
	s, err := from.Store(ctx)
	if err != nil {
		return err
	}
	floor, err := pruneFloor()
	if err != nil {
		return err
	}
	start := time.Now()
	r, err := scrub.Check(ctx, scrub.Config{Registry: l.Registry(), Store: s.Slowed(o.scrubRate), Logger: log, Floor: floor})
	if err != nil {
		return err
	}
	for i := range r.Problems[:min(len(r.Problems), scrubTold)] {
		p := &r.Problems[i]
		log.Error("the store lost or damaged what releases need", "kind", p.Kind, "what", p.What, "name", p.Name, "releases", some(texts(p.Releases), 5), "error", p.Detail)
	}
	level, message := slog.LevelInfo, "store verified: all is well"
	if len(r.Problems) > 0 {
		level, message = slog.LevelError, "store verified: holdfast verify --repair mends what can be"
	}
	log.Log(ctx, level, message, "objects", r.Objects, "bytes", r.Bytes, "problems", len(r.Problems), "took", time.Since(start))
	if r.Unread() {
		return fmt.Errorf("%w: not all could be read; trying again within %v", holdfast.ErrUnavailable, scrubLook)
	}
	return l.Registry().RecordScrub(ctx, scrubbed(r))
}

// scrubTold is how many problems are logged one by one.
const scrubTold = 20

// scrubbed is what is recorded of a scrub.
func scrubbed(r *scrub.Report) registry.Scrubbed {
	return registry.Scrubbed{Done: time.Now().UTC(), Objects: r.Objects, Bytes: r.Bytes, Problems: r.Left()}
}

// pruneOnce prunes in the leader's name, and returns when the next list is due.
func pruneOnce(ctx context.Context, from *origin.Origin, l *registry.Leadership, o prune.Options, log *slog.Logger) (time.Duration, error) {
	s, err := from.Store(ctx)
	if err != nil {
		return 0, err
	}
	floor, err := pruneFloor()
	if err != nil {
		return 0, err
	}
	return prune.Turn(ctx, prune.Config{Registry: l.Registry(), Store: s, Logger: log, Floor: floor}, o)
}
