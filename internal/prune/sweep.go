package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	// sweepBatch is how many objects are deleted between two checks of the registry.
	sweepBatch = 100
	// deleters is the number of concurrent deletes.
	deleters = 8
)

// sweep deletes the lists that are due.
func (p *pruner) sweep(ctx context.Context) error {
	state, err := p.Registry.Sweep(ctx)
	if err != nil || len(state.Pending()) == 0 {
		return err
	}
	written, err := p.lists(ctx)
	if err != nil {
		return err
	}
	m := newMarks()
	for _, l := range state.Pending() {
		if p.now().Before(p.due(l, written)) {
			continue
		}
		if state, err = p.sweepList(ctx, state, l, m); err != nil {
			return fmt.Errorf("list %d: %w", l.Generation, err)
		}
	}
	return nil
}

// sweepList deletes the items of one list. m contains the references, read after the list
// was recorded.
func (p *pruner) sweepList(ctx context.Context, state registry.Sweep, l registry.SweepList, m *marks) (registry.Sweep, error) {
	list, err := p.Store.Condemned(ctx, l.List)
	if err != nil {
		return state, err
	}
	todo := p.deletions(list)
	done := 0
	for some := range slices.Chunk(todo, sweepBatch) {
		if state, err = p.current(ctx, state, l.Generation); err != nil {
			return state, err
		}
		if err := p.mark(ctx, m); err != nil {
			return state, err
		}
		if err := p.deleteAll(ctx, m, some); err != nil {
			return state, err
		}
		done += len(some)
		p.Progress(Progress{PhaseSweep, done, len(todo)})
	}
	state, forgotten, err := p.Registry.Swept(ctx, state, l.Generation)
	if errors.Is(err, holdfast.ErrConflict) { // recorded by another one
		state, err = p.Registry.Sweep(ctx)
	}
	for _, f := range forgotten {
		if err := p.Store.DeleteCondemned(ctx, f.List); err != nil {
			return state, err
		}
	}
	p.Logger.Info("condemned objects swept", "generation", l.Generation, "objects", len(todo), "bytes", l.Bytes)
	return state, err
}

// current makes sure that the state of cleaning has not changed and the epoch is not
// over. Another prune may have recorded something meanwhile.
func (p *pruner) current(ctx context.Context, state registry.Sweep, generation uint32) (registry.Sweep, error) {
	err := p.Registry.StillThere(ctx, state)
	if !errors.Is(err, holdfast.ErrConflict) {
		return state, err
	}
	now, err := p.Registry.Sweep(ctx)
	if err != nil {
		return state, err
	}
	if !slices.ContainsFunc(now.Pending(), func(l registry.SweepList) bool { return l.Generation == generation }) {
		return now, fmt.Errorf("%w: another prune has swept it", holdfast.ErrConflict)
	}
	return now, nil
}

// deletion is one item of a list.
type deletion struct {
	size   int64
	needed func(*marks) bool
	remove func(context.Context) error
}

func (p *pruner) deletions(list *holdfast.Condemned) []deletion {
	var all []deletion
	for _, inv := range list.Inventories() {
		all = append(all, deletion{
			inv.Size,
			func(m *marks) bool { return m.inventories[inv.Digest] },
			func(ctx context.Context) error { return p.Store.DeleteInventory(ctx, inv.Digest) },
		})
	}
	for _, o := range list.Objects() {
		all = append(all, deletion{
			o.Size,
			func(m *marks) bool { _, ok := m.objects[o.Name]; return ok },
			func(ctx context.Context) error { return p.Store.DeleteObject(ctx, o.Name) },
		})
	}
	return all
}

func (p *pruner) deleteAll(ctx context.Context, m *marks, some []deletion) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(deleters)
	for _, d := range some {
		if d.needed(m) {
			p.report.Spared.add(d.size)
			continue
		}
		p.report.Swept.add(d.size)
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return d.remove(ctx)
		})
	}
	return g.Wait()
}
