package live

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// parallel bounds how many manifests are loaded at once.
const parallel = 8

type buildKey struct{ manifest, inventory, pages holdfast.Digest }

func keyOf(info *registry.ReleaseInfo) buildKey {
	return buildKey{info.Manifest, info.Inventory, info.Pages}
}

// A loader fetches manifests and inventories in the background. All fields except arrived
// and tasks belong to the one goroutine that calls its methods.
type loader struct {
	manifests Manifests
	deadline  time.Duration // of each call
	logger    *slog.Logger
	arrived   chan arrival
	tasks     sync.WaitGroup // the fetches; they end with the context they began with

	interner *interner
	builds   map[buildKey]*Contents
	flying   map[buildKey]bool
	queue    []buildKey           // to be fetched when others have arrived
	failed   map[buildKey]failure // wanted, and the last fetch failed
	fresh    bool                 // builds has more than when news was last called
	troubles *troubles
}

// failure is of a manifest that could not be loaded.
type failure struct {
	times int
	next  time.Time // when it is tried again
}

// The rest between two attempts at one manifest, which doubles.
const (
	restLeast = time.Second
	restMost  = 5 * time.Second
	// quietFailures is how many in a row are not logged: some three seconds of them.
	quietFailures = 2
	// plainFailures is how many in a row, some 15 seconds of them, pass before a release
	// is served without its pinned variants.
	plainFailures = 5
)

// arrival is the outcome of a fetch.
type arrival struct {
	key       buildKey
	manifest  *holdfast.Manifest
	inventory *holdfast.Inventory
	pages     *holdfast.Pages // nil for none
	err       error
}

func newLoader(m Manifests, deadline time.Duration, logger *slog.Logger) *loader {
	return &loader{
		manifests: m, deadline: deadline, logger: logger, arrived: make(chan arrival),
		interner: newInterner(), builds: make(map[buildKey]*Contents),
		flying: make(map[buildKey]bool), failed: make(map[buildKey]failure), troubles: &troubles{},
	}
}

// built returns the loaded contents of a release, or nil.
func (l *loader) built(info *registry.ReleaseInfo) *Contents { return l.builds[keyOf(info)] }

// news reports whether something was loaded since the last call.
func (l *loader) news() bool {
	fresh := l.fresh
	l.fresh = false
	return fresh
}

// want starts fetching what the servable releases of snap lack, live ones first, except
// recent failures, and forgets what other releases had. It reports whether a fetch began.
func (l *loader) want(ctx context.Context, snap *registry.Snapshot) bool {
	wanted := make(map[buildKey]holdfast.State)
	for _, app := range snap.Apps {
		for i := range app.Releases {
			if info := &app.Releases[i]; info.State.Servable() {
				key := keyOf(info)
				if state, ok := wanted[key]; !ok || urgency(info.State) < urgency(state) {
					wanted[key] = info.State
				}
			}
		}
	}
	l.forget(wanted)
	l.queue = l.queue[:0]
	for key := range wanted {
		if l.builds[key] == nil && !l.flying[key] && !time.Now().Before(l.failed[key].next) {
			l.queue = append(l.queue, key)
		}
	}
	slices.SortFunc(l.queue, func(a, b buildKey) int {
		return cmp.Or(cmp.Compare(urgency(wanted[a]), urgency(wanted[b])), slices.Compare(a.manifest[:], b.manifest[:]))
	})
	return l.start(ctx)
}

func urgency(s holdfast.State) int {
	switch s {
	case holdfast.Live:
		return 0
	case holdfast.Draining:
		return 1
	}
	return 2
}

func (l *loader) forget(wanted map[buildKey]holdfast.State) {
	for key, b := range l.builds {
		if _, ok := wanted[key]; !ok {
			l.interner.drop(b)
			delete(l.builds, key)
		}
	}
	for key := range l.failed {
		if _, ok := wanted[key]; !ok {
			delete(l.failed, key)
			l.troubles.set(key, nil)
		}
	}
}

// start starts as many fetches as may run at once.
func (l *loader) start(ctx context.Context) (began bool) {
	for len(l.queue) > 0 && len(l.flying) < parallel {
		key := l.queue[0]
		l.queue = l.queue[1:]
		l.flying[key], began = true, true
		times := l.failed[key].times
		l.tasks.Go(func() {
			a := l.fetch(ctx, key)
			if a.err == nil {
				a.err = l.fetchPages(ctx, &a, times)
			}
			select {
			case l.arrived <- a:
			case <-ctx.Done():
			}
		})
	}
	return began
}

func (l *loader) fetch(ctx context.Context, key buildKey) (a arrival) {
	a.key = key
	if a.manifest, a.err = within(ctx, l.deadline, l.manifests.Manifest, key.manifest); a.err != nil {
		a.err = fmt.Errorf("load manifest: %w", a.err)
		return a
	}
	if a.inventory, a.err = within(ctx, l.deadline, l.manifests.Inventory, key.inventory); a.err != nil {
		a.err = fmt.Errorf("load inventory: %w", a.err)
	}
	return a
}

// fetchPages fetches the list of pinned variants. A release is served without it only if
// it cannot be fetched for longer than a node's startup: its documents still work.
func (l *loader) fetchPages(ctx context.Context, a *arrival, times int) (err error) {
	object, ok := a.inventory.Pages(a.key.pages)
	if !ok {
		return nil
	}
	if a.pages, err = within(ctx, l.deadline, l.manifests.Pages, object); err == nil {
		return nil
	}
	if times < plainFailures || ctx.Err() != nil {
		return fmt.Errorf("load pinned pages: %w", err)
	}
	l.logger.Warn("pinned pages not loaded; the release's documents are served as they were built", "manifest", a.key.manifest, "error", err)
	return nil
}

func within[T, K any](ctx context.Context, d time.Duration, get func(context.Context, K) (T, error), of K) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return get(ctx, of)
}

// again returns a channel that fires when something that failed is to be tried
// again; nil if nothing is.
func (l *loader) again() <-chan time.Time {
	var next time.Time
	for key, f := range l.failed {
		if !l.flying[key] && (next.IsZero() || f.next.Before(next)) {
			next = f.next
		}
	}
	if next.IsZero() {
		return nil
	}
	return time.After(time.Until(next))
}

// take adds arrived contents. A later want retries failures; until then the release
// answers that it is not ready.
func (l *loader) take(ctx context.Context, a arrival) {
	delete(l.flying, a.key)
	l.start(ctx)
	var b *Contents
	if a.err == nil {
		b, a.err = l.interner.build(a.manifest, a.inventory)
	}
	if a.err == nil {
		b.addPages(a.pages, a.inventory)
	}
	if a.err != nil {
		before := l.failed[a.key]
		rest := min(restLeast<<min(before.times, 10), restMost)
		l.failed[a.key] = failure{before.times + 1, time.Now().Add(rest)}
		l.troubles.set(a.key, a.err)
		// Early failures say little: a node's build is published before the node runs,
		// and before other nodes know where to find it.
		if before.times == quietFailures {
			l.logger.Error("manifest not loaded; its release answers 503", "manifest", a.key.manifest, "error", a.err)
		}
		return
	}
	if times := l.failed[a.key].times; times > 0 {
		delete(l.failed, a.key)
		l.troubles.set(a.key, nil)
		if times > quietFailures {
			l.logger.Info("manifest loaded at last", "manifest", a.key.manifest)
		}
		l.hurry()
	}
	l.builds[a.key], l.fresh = b, true
}

// hurry retries every failure at once, once: a temporary cause, such as an unreachable
// store, affected all of them.
func (l *loader) hurry() {
	now := time.Now()
	for key, f := range l.failed {
		f.next = now
		l.failed[key] = f
	}
}

// wait accepts arrivals until nothing is in flight, for at most d.
func (l *loader) wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for len(l.flying) > 0 {
		select {
		case a := <-l.arrived:
			l.take(ctx, a)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
