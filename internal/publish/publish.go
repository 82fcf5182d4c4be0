package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Options of one publish.
type Options struct {
	App      holdfast.AppName
	ID       holdfast.ReleaseID // zero: "auto", see Build.ReleaseID
	Settings holdfast.Settings  // of the app
	// Create creates an app that does not exist although there are others.
	Create bool
	Effort coding.Effort // coding.Best if empty
	// AllowClash publishes other bytes under fingerprinted paths and records the
	// paths, which are never served as immutable again.
	AllowClash bool
	// AnyID publishes although the build's own URLs name another release.
	AnyID bool
	// Local: nodes bring builds of this app with them. No plain path of it is ever
	// served as immutable, so that nothing can clash.
	Local bool
	// damaged are objects that hold other bytes than they say.
	damaged map[holdfast.ObjectName]bool
	// Pack is the name of the pack that the build is; zero for none. See holdfast.Release.
	Pack holdfast.PackName
	// OwnStore: no other publisher stores to this store, so that waiting for one that
	// publishes the same build is of no use.
	OwnStore bool
	// By names the publisher for waiting ones: a node, or a machine and a process.
	By string
	// DryRun reads like a publish, and writes nothing.
	DryRun bool
	// Apps returns the current apps, to check that no mount hides a path of the build;
	// nil: no check.
	Apps func(ctx context.Context) ([]*registry.AppState, error)
	// Progress is called for every blob that is done, never concurrently; may be nil.
	Progress func(Progress)
}

// Result describes the effect of Publish, with Options.DryRun the maximum.
type Result struct {
	Release   holdfast.Release
	Outcome   registry.AddOutcome
	Unchanged bool // the release was there already; nothing was written, unless Mended
	Mended    bool // lost objects of an unchanged release were stored again
	Repinned  bool // an unchanged release has other pinned variants now
	Pages     int  // how many documents have pinned variants
	// Lacking are files whose bytes Repair could not get from the store; sorted.
	Lacking []string
	Counts
}

// Publish makes the build a release of the app. Killed at any point it leaves nothing
// visible, and the next publish finishes the work. Objects of an existing release that
// the store has lost are stored again.
//
// Errors: ErrExists (the ID is bound to another build), ErrTakenDown, ErrClash,
// ErrConflict (the build changed meanwhile, or reused objects were swept), ErrLeaseLost,
// and those of store and registry.
func Publish(ctx context.Context, d Deps, b *Build, o Options) (*Result, error) {
	for {
		p, err := newPublication(ctx, d, b, o)
		if err != nil {
			return nil, err
		}
		result, err := p.run(ctx)
		var busy *registry.CopyingError
		switch {
		case errors.As(err, &busy):
			if err := p.awaitCopier(ctx); err != nil {
				return nil, err
			}
		case !errors.Is(err, errOvertaken):
			return result, err
		}
		// The current state is found by reading everything again.
	}
}

// run publishes, or returns a *registry.CopyingError or errOvertaken.
func (p *publication) run(ctx context.Context) (*Result, error) {
	defer p.contents.Close() //nolint:errcheck // nothing was written
	// A restarted node with its build continues without taken-down files.
	p.lenient = p.own != nil && p.Local
	if err := p.refused(p.sweep.Down); err != nil {
		return nil, err
	}
	if err := p.pinPages(ctx); err != nil {
		return nil, err
	}
	if p.own != nil {
		return p.mend(ctx)
	}
	if _, err := p.check(ctx, registry.Standing{Others: p.others(), Former: registry.Former(p.releases), Sweep: p.sweep}); err != nil {
		return nil, err
	}
	if p.DryRun {
		found, err := p.lookUp(ctx)
		if err != nil {
			return nil, err
		}
		return p.forecast(found), nil
	}
	return p.finish(ctx, p.attempt)
}

// finish makes attempts, while the publication's manifest is a root, until one is not
// overtaken by a prune.
func (p *publication) finish(ctx context.Context, attempt func(context.Context, registry.PublishLease) error) (*Result, error) {
	lease, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	ctx, release := untilLost(ctx, lease)
	defer release()
	if err := p.overtaken(ctx); err != nil {
		return nil, lost(ctx, err)
	}
	stop := p.reportTo(ctx, lease)
	defer stop()
	for n := 1; ; n++ {
		err := attempt(ctx, lease)
		switch {
		case err == nil:
			return p.result, nil
		case errors.Is(err, errOtherPage) && n < attempts:
			if err := p.makePages(ctx); err != nil {
				return nil, lost(ctx, err)
			}
			continue
		case !errors.Is(err, errSwept) || n == attempts:
			return nil, lost(ctx, err)
		}
		p.Logger.InfoContext(ctx, "prune ran meanwhile; storing objects again that it may delete", "attempt", n)
		if err := p.readRegistry(ctx); err != nil {
			return nil, lost(ctx, err)
		}
		if err := p.refused(p.sweep.Down); err != nil {
			return nil, err
		}
	}
}

// attempt stores missing objects and adds the release.
func (p *publication) attempt(ctx context.Context, lease registry.PublishLease) error {
	found, err := p.lookUp(ctx)
	if err != nil {
		return err
	}
	inventory, err := p.upload(ctx, found)
	if err != nil {
		return err
	}
	return p.add(ctx, lease, inventory)
}

// publication is one run of Publish.
type publication struct {
	Deps
	Options
	build    *Build
	contents contents
	releases []registry.ReleaseInfo
	ledger   ledger
	progress *progress
	result   *Result
	names    names

	pages     *holdfast.Pages // pinned variants of documents; nil for none
	manifests sync.Once       // has read the web manifests
	apart     map[string]bool // those of them that may be pinned

	// own is the release itself if it exists and is servable; lenient leaves its
	// unavailable blobs as listed.
	own     *registry.ReleaseInfo
	lenient bool

	// reusedFrom are the releases whose objects are reused, and their inventories:
	// they must have them still when the new release is added.
	reusedFrom map[holdfast.ReleaseID]holdfast.Digest

	sweep     registry.Sweep                        // as of the last look
	oldest    uint32                                // generation of the first look
	made      map[holdfast.Digest][]holdfast.Object // that this publish stored, by blob
	inventory holdfast.Digest                       // of this attempt
	named     []holdfast.Object                     // in that
}

// newPublication reads the published releases. It detects a taken ID before any work;
// AddRelease decides.
func newPublication(ctx context.Context, d Deps, b *Build, o Options) (_ *publication, err error) {
	o.Effort = cmp.Or(o.Effort, coding.Best)
	o.ID, err = o.idOf(b)
	if err != nil {
		return nil, err
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	p := &publication{Deps: d, Options: o, build: b, reusedFrom: make(map[holdfast.ReleaseID]holdfast.Digest), made: make(map[holdfast.Digest][]holdfast.Object), progress: newProgress(o.Progress)}
	p.ledger = ledger{store: d.Store, release: o.ID, build: b.Manifest, settings: o.Settings, known: make(map[holdfast.Digest]compared)}
	p.result = &Result{Release: holdfast.Release{
		App: o.App, ID: o.ID, Pack: o.Pack, Manifest: b.Manifest.Digest(), Files: len(b.Manifest.Files()), Bytes: b.Manifest.Size(),
	}}
	if err := p.readRegistry(ctx); err != nil {
		return nil, err
	}
	p.oldest = p.sweep.Generation
	if err := p.readAsBefore(ctx); err != nil {
		return nil, err
	}
	if err := p.findOwn(); err != nil {
		return nil, err
	}
	for name := range o.damaged {
		p.names.spoil(name)
	}
	if p.contents, err = b.open(d.Logger); err != nil {
		return nil, err
	}
	return p, nil
}

// idOf returns the ID for the release of a build.
func (o *Options) idOf(b *Build) (holdfast.ReleaseID, error) {
	id, _, err := b.ReleaseID(o.ID)
	if err != nil && o.AnyID {
		return cmp.Or(o.ID, b.Manifest.Digest().AutoID()), nil
	}
	return id, err
}

// readRegistry reads the published releases and the current names, in that order: a later
// condemned list is found when the release is added.
func (p *publication) readRegistry(ctx context.Context) (err error) {
	p.progress.restart(p.build)
	clear(p.reusedFrom)
	if p.releases, err = p.Registry.Releases(ctx, p.App); err != nil {
		return err
	}
	p.sweep, err = p.Registry.Sweep(ctx)
	p.names.generation, p.names.down = p.sweep.Generation, p.sweep.Down
	return err
}

// others are all releases but the one with the ID that is being published.
func (p *publication) others() []registry.ReleaseInfo {
	return slices.DeleteFunc(slices.Clone(p.releases), func(r registry.ReleaseInfo) bool { return r.ID == p.ID })
}

// add stores the two texts, then makes the release visible.
func (p *publication) add(ctx context.Context, lease registry.PublishLease, inv *holdfast.Inventory) error {
	if err := p.putTexts(ctx, inv); err != nil {
		return err
	}
	r := p.result.Release
	r.Inventory, r.Pages = inv.Digest(), p.pagesDigest()
	added, outcome, err := p.Registry.AddRelease(ctx, lease, r, p.check)
	if err != nil {
		return err
	}
	p.result.Release, p.result.Outcome, p.result.Unchanged = added, outcome, outcome == registry.Unchanged
	return nil
}

func (p *publication) putTexts(ctx context.Context, inv *holdfast.Inventory) error {
	p.progress.phase(PhaseRegister)
	p.inventory, p.named = inv.Digest(), inv.Objects()
	if err := p.Store.PutInventory(ctx, inv); err != nil {
		return err
	}
	return p.Store.PutManifest(ctx, p.build.Manifest)
}

// sameSettings reports that the settings, by which the build was read and is
// compared with others, are not those of the app any more.
func (p *publication) sameSettings(apps []*registry.AppState) error {
	for _, a := range apps {
		now, then := &a.Settings, &p.Settings
		same := now.Mount == then.Mount && now.SourceMaps == then.SourceMaps && now.Pinned == then.Pinned && registry.SameNames(now, then)
		if a.Name == p.App && !same {
			return fmt.Errorf("%w: the settings of app %s were changed meanwhile; publish again, what is uploaded already is used", holdfast.ErrConflict, p.App)
		}
	}
	return nil
}

// check decides whether the release may be added next to the others.
func (p *publication) check(ctx context.Context, now registry.Standing) ([]string, error) {
	if p.moved(now) {
		return nil, errSwept
	}
	if err := p.may(ctx, now.Sweep); err != nil {
		return nil, err
	}
	if p.Apps != nil {
		apps, err := p.Apps(ctx)
		if err != nil {
			return nil, err
		}
		if err := p.sameSettings(apps); err != nil {
			return nil, err
		}
		if err := CheckShadowed(p.build.Manifest, p.App, p.Settings.Mount, apps); err != nil {
			return nil, err
		}
	}
	if err := p.checkPinned(ctx, now.Others); err != nil {
		return nil, err
	}
	if p.Local {
		return nil, nil
	}
	clashes, err := p.ledger.clashes(ctx, slices.Concat(now.Others, now.Former))
	if err != nil || len(clashes) == 0 {
		return nil, err
	}
	if p.AllowClash {
		return clashes, registry.CheckClashes(clashes)
	}
	return nil, fmt.Errorf("%w: other bytes were published before under %s, and browsers may keep those for a year; "+
		"let the build give changed files new names, or publish with --allow-clash, after which these paths are never cached for long again; "+
		"if such names never tell the bytes, say so once: holdfast app set %s mutable='%s'",
		holdfast.ErrClash, listed(clashes, func(p string) string { return p }), p.App, strings.Join(p.mutable(clashes), ","))
}

// mutable returns the app's setting of that name with a few globs for paths that clash:
// the common parts of their names around the hash.
func (p *publication) mutable(clashes []string) []string {
	const most = 3
	all := slices.Clone(p.Settings.Mutable)
	for _, path := range clashes[:min(most, len(clashes))] {
		glob := path
		if f, ok := p.build.Manifest.Lookup(path); ok {
			glob = f.Logical
		}
		if !slices.Contains(all, glob) {
			all = append(all, glob)
		}
	}
	return all
}
