package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
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

// chores are the chores of a leading node of the command line.
func (c *cli) chores(config *assembly.Config, o serveOptions) []node.Chore {
	var all []node.Chore
	if o.prune > 0 {
		all = append(all, config.Prune(o.prune))
	}
	if o.scrub > 0 && !c.private() { // a node's own store lacks the others' builds
		// The leader finds out from the registry whether it is time again.
		all = append(all, node.Chore{Name: "scrub", Every: min(o.scrub, scrubLook), Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
			return 0, scrubOnce(ctx, config, l, o)
		}})
	}
	return all
}

// scrubLook is how often a leader looks whether a scrub is due.
const scrubLook = time.Hour

// scrubOnce reads all of the store if it is time, and reports problems. A repair needs an
// operator who looks into the cause first: holdfast verify --repair.
func scrubOnce(ctx context.Context, config *assembly.Config, l *registry.Leadership, o serveOptions) error {
	log := config.Node.Logger
	last, err := l.Registry().LastScrub(ctx)
	if err != nil || time.Since(last.Done) < o.scrub {
		return err
	}
	s, err := config.Backends.Store(ctx)
	if err != nil {
		return err
	}
	start := time.Now()
	r, err := scrub.Check(ctx, scrub.Config{Registry: l.Registry(), Store: s.Slowed(o.scrubRate), Logger: log, Floor: config.Floor})
	if err != nil {
		return err
	}
	for i := range r.Problems[:min(len(r.Problems), scrubTold)] {
		p := &r.Problems[i]
		log.Error("the store lost or damaged objects that releases need", "kind", p.Kind, "what", p.What, "name", p.Name, "releases", some(texts(p.Releases), 5), "error", p.Detail)
	}
	level, message := slog.LevelInfo, "store verified: all is well"
	if len(r.Problems) > 0 {
		level, message = slog.LevelError, "store verified: holdfast verify --repair fixes what it can"
	}
	log.Log(ctx, level, message, "objects", r.Objects, "bytes", r.Bytes, "problems", len(r.Problems), "took", time.Since(start))
	if r.Unread() {
		return fmt.Errorf("%w: some objects could not be read; trying again within %v", holdfast.ErrUnavailable, scrubLook)
	}
	return l.Registry().RecordScrub(ctx, scrubbed(r))
}

// scrubTold is how many problems are logged one by one.
const scrubTold = 20

// scrubbed is the record of a scrub.
func scrubbed(r *scrub.Report) registry.Scrubbed {
	return registry.Scrubbed{Done: time.Now().UTC(), Objects: r.Objects, Bytes: r.Bytes, Problems: r.Left()}
}
