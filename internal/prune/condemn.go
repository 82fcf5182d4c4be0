package prune

import (
	"context"
	"errors"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// listMost is the maximum number of names on one list: about 4 MB of text.
const listMost = 50_000

// Verdict is the decision about an object.
type Verdict string

// The verdicts.
const (
	Referenced   Verdict = "referenced"   // by a release that is not gone
	Young        Verdict = "young"        // it may belong to a publish in progress
	Waiting      Verdict = "waiting"      // condemned earlier
	Unreferenced Verdict = "unreferenced" // condemned by this prune
)

// Object is the verdict on one object in the store.
type Object struct {
	Name    holdfast.ObjectName `json:"name"`
	Size    int64               `json:"size"` // bytes
	Verdict Verdict             `json:"verdict"`
	// App and Release name one release that refers to it, if any.
	App     holdfast.AppName   `json:"app,omitzero"`
	Release holdfast.ReleaseID `json:"release,omitzero"`
}

// judge decides about everything in the store.
type judge struct {
	*pruner
	marks      *marks
	unfinished *unfinished
	waiting    []*holdfast.Condemned
}

// condemn finds what no release refers to and records it. Anything that does not fit is
// condemned after earlier lists are swept.
func (p *pruner) condemn(ctx context.Context) error {
	state, err := p.Registry.Sweep(ctx)
	if err != nil {
		return err
	}
	j := &judge{pruner: p, marks: newMarks()}
	if j.unfinished, err = p.known(ctx); err != nil {
		return err
	}
	if err := p.mark(ctx, j.marks); err != nil {
		return err
	}
	for _, l := range state.Pending() {
		list, err := p.Store.Condemned(ctx, l.List)
		if err != nil {
			return err
		}
		j.waiting = append(j.waiting, list)
	}
	lists := &lists{judge: j, state: state}
	if err := j.inventories(ctx, lists); err != nil {
		return err
	}
	if err := j.objects(ctx, lists); err != nil {
		return err
	}
	p.report.Missing = len(j.marks.objects) - p.report.Referenced.Objects
	if err := lists.flush(ctx); err != nil {
		return err
	}
	return p.pending(ctx, lists.state)
}

// inventories condemns inventories without a release. Their sizes are small.
func (j *judge) inventories(ctx context.Context, l *lists) error {
	for info, err := range j.Store.Inventories(ctx) {
		switch {
		case errors.Is(err, holdfast.ErrInvalid): // not an inventory
			continue
		case err != nil:
			return err
		case j.marks.inventories[info.Digest] || j.waits(func(c *holdfast.Condemned) bool { return c.HasInventory(info.Digest) }):
		case j.young(j.unfinished, info.Created):
			j.report.Young.add(info.Size)
		default:
			if err := l.inventory(ctx, info); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *judge) objects(ctx context.Context, l *lists) error {
	n := 0
	for info, err := range j.Store.Objects(ctx) {
		if errors.Is(err, holdfast.ErrInvalid) {
			j.Logger.Warn("the store holds what is no object", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		o := j.verdict(info)
		if o.Verdict == Unreferenced {
			if err := l.object(ctx, info); err != nil {
				return err
			}
		}
		j.Object(o)
		if n++; n%1000 == 0 {
			j.Progress(Progress{Phase: PhaseList, Done: n})
		}
	}
	return nil
}

func (j *judge) verdict(info store.ObjectInfo) Object {
	o := Object{Name: info.Name, Size: info.Size, Verdict: Unreferenced}
	if r, ok := j.marks.objects[info.Name]; ok {
		o.Verdict, o.App, o.Release = Referenced, j.marks.releases[r].app, j.marks.releases[r].release
		j.report.Referenced.add(info.Size)
		return o
	}
	switch {
	case j.waits(func(c *holdfast.Condemned) bool { return c.HasObject(info.Name) }):
		o.Verdict = Waiting
	case j.young(j.unfinished, info.Created):
		o.Verdict = Young
		j.report.Young.add(info.Size)
	}
	return o
}

func (j *judge) waits(on func(*holdfast.Condemned) bool) bool {
	for _, c := range j.waiting {
		if on(c) {
			return true
		}
	}
	return false
}

// lists collects names and records them, one list at a time.
type lists struct {
	*judge
	state registry.Sweep
	inv   []holdfast.CondemnedInventory
	obj   []holdfast.CondemnedObject
	bytes int64
	full  bool // no further list may be recorded
	ahead bool // an object has to wait until the generation of its name ends
}

func (l *lists) inventory(ctx context.Context, info store.TextInfo) error {
	l.inv = append(l.inv, holdfast.CondemnedInventory{Digest: info.Digest, Size: info.Size})
	return l.added(ctx, info.Size)
}

func (l *lists) object(ctx context.Context, info store.ObjectInfo) error {
	if info.Name.Incarnation > l.state.Generation {
		// The name belongs to a publish that skipped a name with damaged bytes, or
		// another prune is condemning at the same time, and recording will fail.
		l.ahead = true
		return nil
	}
	l.obj = append(l.obj, holdfast.CondemnedObject{Name: info.Name, Size: info.Size})
	return l.added(ctx, info.Size)
}

func (l *lists) added(ctx context.Context, size int64) error {
	if l.full {
		l.inv, l.obj = nil, nil
		return nil
	}
	l.report.Condemned.add(size)
	l.bytes += size
	if len(l.inv)+len(l.obj) < listMost {
		return nil
	}
	return l.flush(ctx)
}

// flush stores the list, and then records it. An empty list ends a generation on behalf
// of names in the next one.
func (l *lists) flush(ctx context.Context) error {
	names := len(l.inv) + len(l.obj)
	if names == 0 && !l.ahead || l.DryRun {
		l.inv, l.obj = nil, nil
		return nil
	}
	list, err := holdfast.NewCondemned(l.state.Generation+1, l.inv, l.obj)
	if err != nil {
		return err
	}
	if err := l.Store.PutCondemned(ctx, list); err != nil {
		return err
	}
	l.state, err = l.Registry.Condemn(ctx, l.state, registry.SweepList{
		Generation: list.Generation(), List: list.Digest(), Objects: names, Bytes: l.bytes,
	})
	if err != nil {
		return err
	}
	l.Logger.Info("objects condemned", "generation", list.Generation(), "objects", names, "bytes", l.bytes)
	l.inv, l.obj, l.bytes, l.ahead = nil, nil, 0, false
	l.full = len(l.state.Pending()) >= registry.ListsPending
	return nil
}

// pending reports the waiting lists, and deletes lists that can no longer have an effect.
func (p *pruner) pending(ctx context.Context, state registry.Sweep) error {
	written, err := p.lists(ctx)
	if err != nil {
		return err
	}
	for _, l := range state.Pending() {
		p.report.Pending = append(p.report.Pending, Pending{
			Generation: l.Generation, Condemned: l.Condemned, Due: p.due(l, written), Tally: Tally{l.Objects, l.Bytes},
		})
	}
	if p.DryRun {
		return nil
	}
	for _, l := range state.Lists {
		delete(written, l.List)
	}
	return p.tidy(ctx, state, written)
}

// lists returns when each list in the store was written, by the store's clock.
func (p *pruner) lists(ctx context.Context) (map[holdfast.Digest]time.Time, error) {
	written := make(map[holdfast.Digest]time.Time)
	for info, err := range p.Store.CondemnedLists(ctx) {
		if errors.Is(err, holdfast.ErrInvalid) {
			continue
		}
		if err != nil {
			return nil, err
		}
		written[info.Digest] = info.Created
	}
	return written, nil
}

// due is when a list may be swept. Two clocks must agree, that of the process that
// recorded it and the store's: a wrong one must not shorten the wait.
func (p *pruner) due(l registry.SweepList, written map[holdfast.Digest]time.Time) time.Time {
	begun := l.Condemned
	if at := written[l.List]; at.After(begun) {
		begun = at
	}
	return begun.Add(p.Floor)
}

// tidy deletes lists that are not recorded and cannot be any more, since their generation
// began with another list.
func (p *pruner) tidy(ctx context.Context, state registry.Sweep, lists map[holdfast.Digest]time.Time) error {
	for d := range lists {
		c, err := p.Store.Condemned(ctx, d)
		if errors.Is(err, holdfast.ErrNotFound) || errors.Is(err, holdfast.ErrCorrupt) || errors.Is(err, holdfast.ErrInvalid) {
			continue
		}
		if err != nil {
			return err
		}
		if c.Generation() > state.Generation {
			continue
		}
		if err := p.Store.DeleteCondemned(ctx, d); err != nil {
			return fmt.Errorf("tidy up: %w", err)
		}
	}
	return nil
}
