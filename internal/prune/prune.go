// Package prune retires the releases that policy permits, and sweeps from the store what
// no release refers to any more.
//
// A sweep has these steps:
//
//	mark      all objects that releases which are not gone refer to
//	condemn   list the others in the store, and record the list in the registry
//	wait      for the floor at least: the list is the quarantine
//	re-check  what releases refer to, read after the list was recorded
//	delete    what is on the list and still unreferenced
//
// Recording a list ends a generation of object names. From then on no release can be
// added that refers to a name on it (see registry.Sweep), and bytes that are stored again
// get a name of the new generation. So whatever the re-check finds unreferenced stays so
// permanently, and a delete may arrive arbitrarily late: from a process that was stopped
// and resumed, or from a server that had it queued. It does not matter which process
// sweeps; several may, concurrently.
//
// Anything that cannot be read stops the sweep: an inventory, a manifest, a list. So does
// a manifest in the store that the registry does not know, since it may belong to a
// release that was lost when the registry was restored from a backup.
package prune

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Floor is the minimum time between condemning and deleting an object, and the minimum
// age of an object before it is condemned.
const Floor = 15 * time.Minute

// Config is the environment of a prune.
type Config struct {
	Registry *registry.Registry // of a leader, or of a command
	Store    *store.Store
	Logger   *slog.Logger     // discards if nil
	Clock    func() time.Time // time.Now if nil
	// Floor replaces the constant, if it is not zero. It is for tests: no user setting
	// leads here.
	Floor time.Duration
	// Progress is called now and then, never concurrently; may be nil.
	Progress func(Progress)
	// Object receives the verdict on each object of the store, in order; may be nil.
	Object func(Object)
}

// Options of one prune.
type Options struct {
	DryRun bool // change nothing, and report what would be done
	// PolicyOnly retires releases and leaves the store alone: there is no shared store.
	PolicyOnly bool
	Urgent     bool // the store is nearly full: see lifecycle.Options
	// Apps are those whose releases may be retired or become gone; empty means all.
	// ErrNotFound for one that does not exist. Unreferenced objects of any app are
	// condemned and swept regardless.
	Apps []holdfast.AppName
}

// Phase is a part of a prune.
type Phase string

// The phases, in their order.
const (
	PhaseSweep Phase = "sweep" // delete lists that are due
	PhaseMark  Phase = "mark"  // read inventories
	PhaseList  Phase = "list"  // read the names of all objects
)

// Progress is the progress of a phase. Total is 0 if unknown.
type Progress struct {
	Phase       Phase
	Done, Total int
}

// Tally counts objects, including inventories.
type Tally struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (t *Tally) add(bytes int64) { t.Objects, t.Bytes = t.Objects+1, t.Bytes+bytes }

// Report says what a prune did, or with Options.DryRun would do.
type Report struct {
	DryRun bool  `json:"dryRun"`
	Apps   []App `json:"apps"`
	// Swept was deleted; Spared was on a list but is still referred to.
	Swept  Tally `json:"swept"`
	Spared Tally `json:"spared"`
	// Referenced is needed by a release that is not gone, Young may belong to a publish
	// in progress, Condemned was condemned by this prune.
	Referenced Tally     `json:"referenced"`
	Missing    int       `json:"missing"` // objects that releases need and the store does not have
	Young      Tally     `json:"young"`
	Condemned  Tally     `json:"condemned"`
	Pending    []Pending `json:"pending"` // waiting lists, including those of this prune
	// Held is how many releases would have been retired or removed if another clock
	// confirmed the time after Reliable; both are zero if nothing was held.
	Held     int       `json:"held,omitempty"`
	Reliable time.Time `json:"reliable,omitzero"`
}

// App is the result for the releases of one app.
type App struct {
	App      holdfast.AppName       `json:"app"`
	Releases []lifecycle.Assessment `json:"releases"` // as they were before
	Retired  []holdfast.ReleaseID   `json:"retired"`
	Gone     []holdfast.ReleaseID   `json:"gone"`
}

// Pending is a list of condemned objects that is not due yet.
type Pending struct {
	Generation uint32    `json:"generation"`
	Condemned  time.Time `json:"condemned"`
	Due        time.Time `json:"due"`
	Tally
}

// Run prunes: it sweeps objects condemned at least Floor ago, applies the policy of each
// app, and condemns what no release refers to any more. If interrupted at any point, the
// next run continues. The report is also valid when there is an error.
//
// No single clock decides: if running nodes disagree with this one it does nothing and
// returns registry.ErrClock. A lone clock that jumped is relied on only up to the last
// reading, and from the next one on.
//
// Errors: ErrLeaseLost when the leadership ended, ErrConflict when another prune
// condemned at the same time, ErrCorrupt and ErrUnavailable for anything that stops a
// sweep.
func Run(ctx context.Context, c Config, o Options) (*Report, error) {
	p := newPruner(c, o)
	if err := p.owned(ctx); err != nil {
		return p.report, err
	}
	if err := p.time(ctx); err != nil {
		return p.report, fmt.Errorf("prune: %w", err)
	}
	if o.PolicyOnly {
		return p.report, p.retire(ctx)
	}
	if err := p.takenDown(ctx); err != nil {
		return p.report, err
	}
	if !o.DryRun {
		if err := p.sweep(ctx); err != nil {
			return p.report, fmt.Errorf("sweep: %w", err)
		}
	}
	if err := p.retire(ctx); err != nil {
		return p.report, err
	}
	if err := p.condemn(ctx); err != nil {
		return p.report, fmt.Errorf("look for what no release refers to: %w", err)
	}
	return p.report, nil
}

// pruner is one run.
type pruner struct {
	Config
	Options
	report *Report
	behind time.Duration // how far the reliable time is behind the clock
	// goes are the releases that a dry run treats as gone.
	goes map[appRelease]bool
}

type appRelease struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
}

func newPruner(c Config, o Options) *pruner {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Floor == 0 {
		c.Floor = Floor
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Object == nil {
		c.Object = func(Object) {}
	}
	return &pruner{
		Config: c, Options: o, goes: make(map[appRelease]bool),
		report: &Report{DryRun: o.DryRun, Apps: []App{}, Pending: []Pending{}},
	}
}

// owned makes sure that the store is the registry's: objects of another registry would
// look unreferenced.
func (p *pruner) owned(ctx context.Context) error {
	owner, err := p.Store.Owner(ctx)
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		return fmt.Errorf("prune: %w: the store says of no registry that it is its own; the next publish makes it say so", holdfast.ErrConflict)
	case err != nil:
		return fmt.Errorf("prune: %w", err)
	case owner != p.Registry.ID():
		return fmt.Errorf("prune: %w: the store belongs to the registry %s, this is %s", holdfast.ErrConflict, owner, p.Registry.ID())
	}
	return nil
}

// time finds out which time is reliable.
func (p *pruner) time(ctx context.Context) error {
	t, err := p.Registry.Time(ctx, p.DryRun)
	if err == nil {
		err = t.Err()
	}
	if err != nil {
		return err
	}
	p.behind = t.Now.Sub(t.Reliable)
	return nil
}

// now returns the time by which ages are measured.
func (p *pruner) now() time.Time { return p.Clock().Add(-p.behind) }

// hold counts the transitions that were held because the clock jumped.
func (p *pruner) hold(state *registry.AppState, asked map[holdfast.ReleaseID]registry.Asked, done registry.Transitions) {
	if p.behind == 0 {
		return
	}
	all := lifecycle.Decide(state, asked, p.Clock(), p.policy())
	if held := len(all.Retire) + len(all.Gone) - len(done.Retire) - len(done.Gone); held > 0 {
		p.report.Held += held
		p.report.Reliable = p.now().UTC().Truncate(time.Second)
	}
}

// retire applies the policy of every app.
func (p *pruner) retire(ctx context.Context) error {
	snap, err := p.Registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	usage, err := p.usage(ctx, snap)
	if err != nil {
		return fmt.Errorf("prune: %w", err)
	}
	for _, name := range p.Apps {
		if !slices.ContainsFunc(snap.Apps, func(a *registry.AppState) bool { return a.Name == name }) {
			return fmt.Errorf("prune: app %s: %w", name, holdfast.ErrNotFound)
		}
	}
	for _, state := range snap.Apps {
		if len(p.Apps) > 0 && !slices.Contains(p.Apps, state.Name) {
			continue
		}
		report := App{App: state.Name, Retired: []holdfast.ReleaseID{}, Gone: []holdfast.ReleaseID{}}
		decide := func(state *registry.AppState) registry.Transitions {
			report.Releases = lifecycle.Assess(state, usage[state.Name], p.now(), p.policy())
			t := lifecycle.Decide(state, usage[state.Name], p.now(), p.policy())
			t.By = "prune"
			return t
		}
		done := decide(state)
		if !p.DryRun && len(done.Retire)+len(done.Gone) > 0 {
			done, err = p.Registry.Transit(ctx, state.Name, decide)
		}
		if err != nil {
			return fmt.Errorf("app %s: %w", state.Name, err)
		}
		p.hold(state, usage[state.Name], done)
		report.Retired, report.Gone = append(report.Retired, done.Retire...), append(report.Gone, done.Gone...)
		p.tell(state.Name, report)
		p.report.Apps = append(p.report.Apps, report)
	}
	return nil
}

func (p *pruner) policy() lifecycle.Options { return lifecycle.Options{Urgent: p.Urgent} }

// usage stores when releases were requested before any decision relies on it.
func (p *pruner) usage(ctx context.Context, snap *registry.Snapshot) (registry.Usage, error) {
	if p.DryRun {
		return p.Registry.Usage(ctx)
	}
	usage, err := p.Registry.SaveUsage(ctx, snap)
	if errors.Is(err, holdfast.ErrConflict) {
		return p.Registry.Usage(ctx) // another process did so
	}
	return usage, err
}

func (p *pruner) tell(app holdfast.AppName, a App) {
	for _, id := range a.Gone {
		p.goes[appRelease{app, id}] = true
	}
	if p.DryRun {
		return
	}
	for _, id := range a.Retired {
		p.Logger.Info("release retired", "app", app.String(), "release", id.String())
	}
	for _, id := range a.Gone {
		p.Logger.Info("release gone", "app", app.String(), "release", id.String())
	}
}
