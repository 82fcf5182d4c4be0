package prune

import (
	"context"
	"errors"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
)

// leastTurn is the shortest time between two turns.
const leastTurn = time.Second

// Turn prunes once for a leading node, more urgently while the store is nearly full, and
// returns when the next list is due; 0 if none is.
func Turn(ctx context.Context, c Config, o Options) (again time.Duration, err error) {
	space, _, err := c.Store.Space(ctx)
	if err != nil {
		return 0, err
	}
	if space.Scarce() {
		c.Logger.Warn("the store is running full: retired releases lose their bytes at once", "free", space.Free, "total", space.Total)
	}
	o.Urgent = space.Scarce()
	r, err := Run(ctx, c, o)
	if errors.Is(err, holdfast.ErrNotFound) {
		return 0, nil // nothing was published yet
	}
	if r.Held > 0 {
		c.Logger.Warn("releases not retired yet: the clock jumped, and no other clock confirms it; looking again", "held", r.Held, "reliable", r.Reliable, "in", clock.Floor)
		again = clock.Floor
	}
	for _, p := range r.Pending {
		if due := max(time.Until(p.Due), leastTurn); again == 0 || due < again {
			again = due
		}
	}
	return again, err
}
