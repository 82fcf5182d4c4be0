package main

import (
	"errors"
	"log/slog"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/delta"
	"github.com/holdfast-web/holdfast/internal/node"
)

// parseDeltas reads how much memory deltas may take; 0 for none.
func parseDeltas(text string) (int64, error) {
	if text == "off" {
		return 0, nil
	}
	if size, err := parseSize(text); err == nil && size >= delta.MinMemory {
		return size, nil
	}
	return 0, errors.New("want a size of 1MiB or more, such as 32MiB, or off")
}

// newDeltas returns what makes deltas and keeps up to size bytes of them, nil for none.
func newDeltas(source *blob.Source, size int64, log *slog.Logger) (node.Deltas, error) {
	if size == 0 {
		return nil, nil //nolint:nilnil // no deltas is a choice, not a failure
	}
	return delta.New(source, delta.Options{Memory: size, Logger: log})
}
