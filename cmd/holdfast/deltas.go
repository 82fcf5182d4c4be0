package main

import (
	"errors"

	"github.com/holdfast-web/holdfast/internal/delta"
)

// parseDeltas reads the memory for deltas; 0 for none.
func parseDeltas(text string) (int64, error) {
	if text == "off" {
		return 0, nil
	}
	if size, err := parseSize(text); err == nil && size >= delta.MinMemory {
		return size, nil
	}
	return 0, errors.New("want a size of 1MiB or more, such as 32MiB, or off")
}
