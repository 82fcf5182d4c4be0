package node

import (
	"context"

	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Deltas makes deltas between files and returns them; *delta.Maker is one.
type Deltas interface {
	serve.Deltas
	// Prepare has those made that browsers will ask for under a table.
	Prepare(t *live.Table)
	// Run makes deltas until ctx ends.
	Run(ctx context.Context) error
	Holder
}

// prepare has deltas made for each table.
func (n *Node) prepare(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.toPrepare:
			n.config.Deltas.Prepare(n.keeper.Table())
		}
	}
}
