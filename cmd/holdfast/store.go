package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// claim makes sure that registry and store belong to each other.
func (c *cli) claim(ctx context.Context, r *registry.Registry, s *store.Store) error {
	claim := assembly.Claim
	if c.private() {
		claim = assembly.ClaimOwn
	}
	err := claim(ctx, r, s)
	switch {
	case errors.Is(err, registry.ErrOtherStore):
		return hinted(err, "name that store with --store; if the files were moved to %s on purpose: holdfast store adopt", c.storePlace())
	case errors.Is(err, holdfast.ErrExists):
		return hinted(err, "--store %s is not the store of --registry %s", c.storePlace(), c.registryPlace())
	}
	return err
}

// storeShown is the JSON form of store and of store adopt.
type storeShown struct {
	registry.StoreInfo
	Before *registry.StoreInfo `json:"before,omitempty"`
}

func (c *cli) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Show which store the registry's releases are in",
		Long: `Shows the store of the registry's releases: its identity, and its location when it
was first used. Commands and nodes with another store are refused. A copy of all
files of a store has the same identity, so a store that was copied or restored
elsewhere is accepted.

JSON keys: id, place, since.`,
		Example: `  holdfast store
  holdfast store adopt --store s3://assets-eu/holdfast`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.showStore(cmd.Context(), b) })
		},
	}
	jsonFlag(cmd.Flags())
	cmd.AddCommand(c.adoptCommand())
	return cmd
}

func (c *cli) showStore(ctx context.Context, b *backends) error {
	s, err := b.registry.Store(ctx)
	switch {
	case err != nil:
		return err
	case c.ui.report(storeShown{StoreInfo: s}):
	case s.ID == "":
		c.ui.say("no store yet: the first command or node that uses one makes it the registry's; nodes without a shared store have their own")
	default:
		c.ui.say("%s", s)
	}
	return nil
}

type adoption struct{ force bool }

func (c *cli) adoptCommand() *cobra.Command {
	var o adoption
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Make the store that --store names the registry's",
		Long: `Makes the store named by --store the registry's, instead of the current one. It
must have the files of all served releases, unless --force is given, and must not
belong to another registry. In a cluster, without --store, nodes then share no
store.

Running nodes keep the store that they were started with: restart them with the
new one.

JSON keys: id, place, since, before (id, place, since).`,
		Example: `  holdfast store adopt --store nfs:/mnt/new`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error { return c.adopt(cmd.Context(), b, o) })
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "even if it lacks served releases: they answer 503 until they are published again")
	jsonFlag(cmd.Flags())
	return cmd
}

func (c *cli) adopt(ctx context.Context, b *backends, o adoption) error {
	var now registry.StoreInfo
	if !c.private() {
		s, closer, err := c.unclaimedStore(ctx, nil, nil)
		if err != nil {
			return err
		}
		b.closers = append(b.closers, closer)
		if err := hasReleases(ctx, b.registry, s); err != nil && !o.force {
			return hinted(err, "copy all files of the old store to %s first; --force adopts it anyway", c.storePlace())
		}
		if err := s.Claim(ctx, b.registry.ID()); err != nil {
			return err
		}
		if now, err = assembly.Describe(ctx, s); err != nil {
			return err
		}
	}
	before, err := b.registry.ReplaceStore(ctx, now)
	if err != nil {
		return err
	}
	if c.ui.report(storeShown{now, &before}) {
		return nil
	}
	switch {
	case now.ID == before.ID && now.Place == before.Place && now.ID != "":
		c.ui.say("the registry's store is already %s", now)
		return nil
	case now.ID == before.ID && now.ID != "":
		c.ui.say("the registry's store is now %s, the same store as before (was at %s)", now, before.Place)
	case now.ID == "":
		c.ui.say("nodes now share no store (was %s)", before)
	default:
		c.ui.say("the registry's store is now %s%s", now, was(before))
	}
	c.ui.hint("restart the nodes with the same --store; until then they use the one they were started with")
	return nil
}

func was(before registry.StoreInfo) string {
	if before.ID == "" {
		return ""
	}
	return fmt.Sprintf(" (was %s)", before)
}

// hasReleases returns an error that names a release that is served and is not in s.
func hasReleases(ctx context.Context, r *registry.Registry, s *store.Store) error {
	snap, err := r.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	missing, first := 0, ""
	for _, app := range snap.Apps {
		for i := range app.Releases {
			rel := &app.Releases[i]
			if !rel.State.Servable() {
				continue
			}
			_, err := s.Inventory(ctx, rel.Inventory)
			switch {
			case errors.Is(err, holdfast.ErrNotFound):
				if missing++; missing == 1 {
					first = fmt.Sprintf("%s of app %s", rel.ID, app.Name)
				}
			case err != nil:
				return err
			}
		}
	}
	if missing == 0 {
		return nil
	}
	return fmt.Errorf("%w: it lacks files of %s, such as %s", registry.ErrOtherStore, count(missing, "served release"), first)
}
