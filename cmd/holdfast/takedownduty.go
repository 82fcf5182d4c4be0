package main

import (
	"context"
	"iter"
	"log/slog"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// takedownDuty deletes taken-down bytes from the shared store while the node leads: the
// command may have been killed, or not have reached the store.
func takedownDuty(from *assembly.Backends, log *slog.Logger) func(context.Context, *registry.Leadership, iter.Seq[*registry.Snapshot]) error {
	return func(ctx context.Context, l *registry.Leadership, snapshots iter.Seq[*registry.Snapshot]) error {
		for snap := range snapshots {
			if !slices.ContainsFunc(snap.Takedowns.All(), func(t holdfast.Takedown) bool { return !t.Removed }) {
				continue
			}
			s, err := from.Store(ctx)
			if err == nil {
				err = prune.RemoveTakenDown(ctx, prune.Config{Registry: l.Registry(), Store: s, Logger: log})
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}
