package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// A node is asked to load a release before it becomes live on its side: the activation
// waits for that, and reports failures. The node's data then counts as warm as soon as
// the release is live.

// ahead are the releases that the node was asked to have ready.
type ahead struct {
	mu  sync.Mutex
	all map[warmKey]*preparing
}

// preparing is the progress of one.
type preparing struct {
	asked  registry.Preparation
	done   bool
	why    error // the last attempt failed
	cancel context.CancelFunc
}

// aheadPause is the rest between two looks at whether the table has a release.
const aheadPause = 50 * time.Millisecond

// errNotRead: the node's registry state is older than the release being prepared.
var errNotRead = errors.New("it has not read the release from the registry yet")

func (a *ahead) wants(k warmKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[k] != nil
}

// ready lists those that could become live now.
func (a *ahead) ready() (all []warmKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, p := range a.all {
		if p.done {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, compareKeys)
	return all
}

// failing says of each that failed why.
func (a *ahead) failing() map[warmKey]error {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make(map[warmKey]error)
	for k, p := range a.all {
		if p.why != nil {
			all[k] = p.why
		}
	}
	return all
}

// replace sets asked to the preparations, and returns the new ones.
func (a *ahead) replace(asked map[warmKey]registry.Preparation) (added []*preparing) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, p := range a.all {
		if now, still := asked[k]; !still || now.Manifest != p.asked.Manifest || now.Inventory != p.asked.Inventory {
			p.cancel()
			delete(a.all, k)
		}
	}
	for k, p := range asked {
		if a.all[k] != nil {
			continue
		}
		if a.all == nil {
			a.all = make(map[warmKey]*preparing)
		}
		a.all[k] = &preparing{asked: p, cancel: func() {}}
		added = append(added, a.all[k])
	}
	return added
}

// set notes how an attempt ended, and reports whether that is news.
func (a *ahead) set(p *preparing, err error) (news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news = err == nil || p.why == nil || p.why.Error() != err.Error()
	p.done, p.why = err == nil, err
	return news
}

// getAhead loads requested releases, until ctx ends.
func (n *Node) getAhead(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	tell := func(all []registry.Preparation) {
		for _, p := range n.ahead.replace(n.concerned(all)) {
			work, cancel := context.WithCancel(ctx)
			p.cancel = cancel
			tasks.Go(func() {
				defer cancel()
				n.prepareOne(work, p)
			})
		}
	}
	for ctx.Err() == nil {
		if err := n.config.Registry.FollowPreparations(ctx, tell); err != nil && ctx.Err() == nil {
			n.config.Logger.Debug("cannot see what is prepared", "error", err) // the keeper says more
		}
		_ = wait.About(ctx, registerRetry)
	}
	return nil
}

// concerned selects the releases that this node will serve: those of its side, except for
// apps of which it brought a build.
func (n *Node) concerned(all []registry.Preparation) map[warmKey]registry.Preparation {
	asked := make(map[warmKey]registry.Preparation)
	for _, p := range all {
		if p.Side == n.config.Side && n.config.Own[p.App].IsZero() {
			asked[warmKey{p.App, p.Release}] = p
		}
	}
	return asked
}

// prepareOne has one release ready, or tries to until ctx ends.
func (n *Node) prepareOne(ctx context.Context, p *preparing) {
	k := warmKey{p.asked.App, p.asked.Release}
	log := n.config.Logger.With("app", k.app.String(), "release", k.release.String())
	for ctx.Err() == nil {
		err := n.fetchAhead(ctx, p.asked)
		if ctx.Err() != nil {
			return
		}
		if n.ahead.set(p, err) {
			switch {
			case err == nil:
				n.warmth.add(k)
				log.Info("release is ready to become live")
			case errors.Is(err, errNotRead): // so it begins whenever a publish activates
				log.Debug("release not ready to become live", "error", err)
			default:
				log.Warn("release not ready to become live", "error", err)
			}
			n.swapped.Give()
		}
		switch {
		case err == nil:
			return
		case errors.Is(err, errNotRead):
			_ = wait.About(ctx, aheadPause)
		default:
			_ = wait.About(ctx, warmRetry)
		}
	}
}

// fetchAhead fetches everything that a release needs, and waits for the table to have it.
func (n *Node) fetchAhead(ctx context.Context, p registry.Preparation) error {
	call, cancel := context.WithTimeout(ctx, registryCall)
	defer cancel()
	m, err := n.config.Manifests.Manifest(call, p.Manifest)
	if err != nil {
		return fmt.Errorf("load manifest: %w", err)
	}
	inv, err := n.config.Manifests.Inventory(call, p.Inventory)
	if err != nil {
		return fmt.Errorf("load inventory: %w", err)
	}
	if n.config.Warmer != nil {
		if _, err := n.config.Warmer.Warm(ctx, refsOfFiles(m, inv, n.keeper.Snapshot().Takedowns), warmParallel); err != nil {
			return fmt.Errorf("load files: %w", err)
		}
	}
	return n.loadedAhead(warmKey{p.App, p.Release})
}

// loadedAhead returns an error while the table will have a release and does not yet. It
// does not have retired ones before they are live.
func (n *Node) loadedAhead(k warmKey) error {
	t, snap := n.keeper.Table(), n.keeper.Snapshot()
	if t == nil || snap == nil {
		return errNotRead
	}
	info := releaseIn(snap, k)
	switch {
	case info == nil:
		return errNotRead
	case !info.State.Servable():
		return nil
	}
	for _, app := range t.Apps() {
		if r, ok := app.Release(k.release.String()); app.Name == k.app && ok && r.Loaded() {
			return nil
		}
	}
	if err := n.keeper.Failure(info); err != nil {
		return err
	}
	return errNotRead
}

func releaseIn(snap *registry.Snapshot, k warmKey) *registry.ReleaseInfo {
	for _, app := range snap.Apps {
		for i := range app.Releases {
			if app.Name == k.app && app.Releases[i].ID == k.release {
				return &app.Releases[i]
			}
		}
	}
	return nil
}

// refsOfFiles yields all files of a release except source maps and taken-down ones.
func refsOfFiles(m *holdfast.Manifest, inv *holdfast.Inventory, down *holdfast.Takedowns) iter.Seq[blob.Ref] {
	maps := make(map[holdfast.Digest]bool)
	for i := range m.Files() {
		if f := &m.Files()[i]; holdfast.IsSourceMap(f.Path) {
			maps[f.Digest] = true
		}
	}
	return func(yield func(blob.Ref) bool) {
		for _, o := range inv.Objects() {
			if !maps[o.Digest] && !down.Kills(o.Name) && !yield(blob.Ref{Name: o.Name, Size: o.Size}) {
				return
			}
		}
	}
}

const (
	// failingMost bounds the reasons in the node's entry, and failingLength each, in
	// bytes: an entry is small.
	failingMost   = 8
	failingLength = 240
)

// failing says why the node has not loaded live releases of its side, draining ones, and
// those it was asked to prepare.
func (n *Node) failing(t *live.Table) map[holdfast.AppName]map[holdfast.ReleaseID]string {
	why := n.ahead.failing()
	if snap := n.keeper.Snapshot(); snap != nil {
		for _, k := range unloadedOf(t) {
			if info := releaseIn(snap, k); info != nil && why[k] == nil {
				if err := n.keeper.Failure(info); err != nil {
					why[k] = err
				}
			}
		}
	}
	all := make(map[holdfast.AppName]map[holdfast.ReleaseID]string)
	keys := make([]warmKey, 0, len(why))
	for k := range why {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys[:min(len(keys), failingMost)] {
		if all[k.app] == nil {
			all[k.app] = make(map[holdfast.ReleaseID]string)
		}
		all[k.app][k.release] = shortened(why[k].Error())
	}
	return all
}

// unloadedOf returns the live and draining releases that the node has not loaded.
func unloadedOf(t *live.Table) (all []warmKey) {
	for _, app := range t.Apps() {
		for r := range app.Releases {
			if !r.Loaded() && (r.State == holdfast.Live || r.State == holdfast.Draining) {
				all = append(all, warmKey{app.Name, r.ID})
			}
		}
	}
	return all
}

func shortened(text string) string {
	if len(text) <= failingLength {
		return text
	}
	return strings.ToValidUTF8(text[:failingLength], "") + "…"
}

func compareKeys(a, b warmKey) int {
	return cmp.Or(cmp.Compare(a.app.String(), b.app.String()), cmp.Compare(a.release.String(), b.release.String()))
}
