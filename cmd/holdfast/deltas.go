package main

import (
	"log/slog"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/delta"
	"github.com/holdfast-web/holdfast/internal/node"
)

// newDeltas returns what makes deltas and keeps up to size bytes of them, nil for none.
func newDeltas(source *blob.Source, size int64, log *slog.Logger) (node.Deltas, error) {
	if size <= 0 {
		return nil, nil //nolint:nilnil // no deltas is a choice, not a failure
	}
	return delta.New(source, delta.Options{Memory: size, Logger: log})
}
