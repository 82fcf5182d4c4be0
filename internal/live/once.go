package live

import (
	"context"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// NewTable makes a single table from a snapshot: for a build that is served without a
// registry, and for tests. A release whose manifest cannot be loaded is logged and not
// Loaded.
func NewTable(ctx context.Context, side holdfast.Side, snap *registry.Snapshot, m Manifests, logger *slog.Logger) *Table {
	const deadline = 10 * time.Second
	l := newLoader(m, deadline, logger)
	for l.want(ctx, snap); len(l.flying) > 0 && ctx.Err() == nil; {
		l.wait(ctx, deadline)
	}
	defer l.tasks.Wait() // those that ctx cut off
	return newBuilder(side, nil).table(snap, l.built)
}
