package registry

import (
	"context"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Exists reports whether a registry was ever opened in d, without creating one.
func Exists(ctx context.Context, d kv.Driver) (bool, error) {
	entries, err := d.Get(ctx, registryKey)
	if err != nil {
		return false, fmt.Errorf("look for a registry: %w: %w", holdfast.ErrUnavailable, err)
	}
	return len(entries) > 0, nil
}
