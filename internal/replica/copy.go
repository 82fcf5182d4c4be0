package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// job is a release that nodes brought and that is served, and what this node has of it.
type job struct {
	releaseKey
	release  *registry.ReleaseInfo
	standing Standing
	*copying
}

// survey looks what this node has, and returns what it should have and has not, most
// in danger first.
func (c *Copier) survey(ctx context.Context, s *store.Store, v view) []job {
	before := c.Says()
	served := make(map[releaseKey]bool)
	var wanted []job
	for _, app := range v.snap.Apps {
		for i := range app.Releases {
			r := &app.Releases[i]
			if !app.Local || r.State != holdfast.Live && r.State != holdfast.Draining {
				continue
			}
			j := job{releaseKey: releaseKey{app.Name, r.ID}, release: r, standing: Stand(app.Name, r, v.nodes)}
			served[j.releaseKey] = true
			if c.surveyOne(ctx, s, &j); j.wanted && !j.complete {
				wanted = append(wanted, j)
			}
		}
	}
	c.forget(served)
	if !reflect.DeepEqual(before, c.Says()) {
		c.Changed()
	}
	slices.SortStableFunc(wanted, func(a, b job) int { return cmp.Compare(len(a.standing.Holders), len(b.standing.Holders)) })
	return wanted
}

func (c *Copier) forget(served map[releaseKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.copies {
		if !served[k] {
			delete(c.copies, k)
		}
	}
}

// surveyOne finds out whether a release is wanted here, and now and then what is here.
func (c *Copier) surveyOne(ctx context.Context, s *store.Store, j *job) {
	now := c.Clock()
	c.mu.Lock()
	if j.copying = c.copies[j.releaseKey]; j.copying == nil || j.inventory != j.release.Inventory {
		j.copying = &copying{inventory: j.release.Inventory}
		c.copies[j.releaseKey] = j.copying
	}
	before := j.wanted
	j.wanted = slices.ContainsFunc(slices.Concat(j.standing.Owners, j.standing.Chosen), func(n registry.NodeInfo) bool { return c.isSelf(&n) })
	switch {
	case j.wanted || !j.standing.settled():
		j.spare = time.Time{}
	case j.spare.IsZero():
		j.spare = now
	}
	j.forsaken = !j.spare.IsZero()
	c.mu.Unlock()
	if fresh := !j.looked.IsZero() && now.Sub(j.looked) < recheck; fresh && before == j.wanted || now.Before(j.next) {
		return
	}
	switch err := c.lookUp(ctx, s, j); {
	case errors.Is(err, errElsewhere):
		c.mu.Lock()
		j.looked, j.complete, j.missing = now, false, nil
		c.mu.Unlock()
	case err != nil:
		if !j.complete {
			j.looked = time.Time{} // whatever was found before is of no use
		}
		c.failed(j, err)
	}
}

// lookUp finds out what of a release is here. Of one that should be, the texts are
// stored first: what they name is not removed then.
func (c *Copier) lookUp(ctx context.Context, s *store.Store, j *job) error {
	inv, err := c.texts(ctx, s, j)
	if err != nil {
		return err
	}
	var missing []holdfast.Object
	var total, left int64
	seen := make(map[holdfast.ObjectName]bool)
	for _, o := range inv.Objects() {
		if seen[o.Name] {
			continue
		}
		seen[o.Name] = true
		there, err := s.HasObject(ctx, o.Name, o.Size)
		if errors.Is(err, holdfast.ErrCorrupt) { // what lies there is of no use to anybody
			err = s.DeleteObject(ctx, o.Name)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errStore, err)
		}
		if total += o.Size; !there {
			missing, left = append(missing, o), left+o.Size
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j.missing, j.total, j.left, j.looked = missing, total, left, c.Clock()
	j.complete = len(missing) == 0
	return nil
}

// errElsewhere: nothing of the release is here, and need not be.
var errElsewhere = errors.New("it is elsewhere")

// texts returns the inventory of a release. It stores inventory and manifest of one
// that is wanted here, and of one that lies here damaged.
func (c *Copier) texts(ctx context.Context, s *store.Store, j *job) (*holdfast.Inventory, error) {
	if !j.wanted {
		inv, err := s.Inventory(ctx, j.inventory)
		if err == nil {
			_, err = s.Manifest(ctx, j.release.Manifest)
		}
		if errors.Is(err, holdfast.ErrNotFound) {
			err = errElsewhere
		}
		if !errors.Is(err, holdfast.ErrCorrupt) {
			return inv, err
		}
	}
	m, err := c.Texts.Manifest(ctx, j.release.Manifest)
	if err != nil {
		return nil, err
	}
	inv, err := c.Texts.Inventory(ctx, j.inventory)
	if err != nil {
		return nil, err
	}
	err = renewed(func() error { return s.PutManifest(ctx, m) }, func() error { return s.DeleteManifest(ctx, m.Digest()) })
	if err == nil {
		err = renewed(func() error { return s.PutInventory(ctx, inv) }, func() error { return s.DeleteInventory(ctx, inv.Digest()) })
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errStore, err)
	}
	return inv, err
}

// renewed puts what is there in another form in its place.
func renewed(put, remove func() error) error {
	err := put()
	if !errors.Is(err, holdfast.ErrCorrupt) {
		return err
	}
	if err := remove(); err != nil {
		return err
	}
	return put()
}

// copy copies what is wanted until all of it is here or it is time to look again. It
// returns when that is at the latest.
func (c *Copier) copy(ctx context.Context, s *store.Store, wanted []job, overdue func() bool) time.Duration {
	wait := lookEvery
	for _, j := range wanted {
		if pause := j.next.Sub(c.Clock()); pause > 0 || j.looked.IsZero() {
			wait = min(wait, pause)
			continue
		}
		if overdue() || ctx.Err() != nil {
			return 0
		}
		err := c.copyOne(ctx, s, &j, overdue)
		switch {
		case ctx.Err() != nil:
			return 0
		case err != nil:
			c.failed(&j, err)
			wait = min(wait, j.next.Sub(c.Clock()))
		case !j.complete:
			return 0
		}
	}
	return wait
}

// failed puts a release off for a while, and logs why if that is new. The first time
// in a row says little: the node that brought it may have been heard of but not met.
func (c *Copier) failed(j *job, err error) {
	j.next = c.Clock().Add(min(time.Second<<min(j.fails, 6), time.Minute))
	j.fails++
	if why := cause(err); j.fails > 1 && !slices.Contains(j.told, why) && len(j.told) < 16 {
		j.told = append(j.told, why)
		c.Logger.Warn("release of other nodes not copied; trying again, and not logged again for this cause",
			"app", j.app.String(), "release", j.releaseKey.release.String(), "cause", why, "error", err)
	}
}

// copyOne gets what is missing of a release.
func (c *Copier) copyOne(ctx context.Context, s *store.Store, j *job, overdue func() bool) error {
	start, first := time.Now(), c.addresses(&j.standing)
	t := &transfer{left: make(map[holdfast.ObjectName]bool)}
	for _, o := range j.missing {
		t.left[o.Name] = true
	}
	var workers errgroup.Group
	workers.SetLimit(c.parallel())
	for _, o := range j.missing {
		if ctx.Err() != nil || t.hopeless() || overdue() {
			break
		}
		workers.Go(func() error {
			err := c.fetch(ctx, s, o, first)
			if t.note(o, err); err == nil {
				c.progress(j.copying, o.Size)
			}
			return nil
		})
	}
	_ = workers.Wait() // t has their errors
	j.missing = slices.DeleteFunc(j.missing, func(o holdfast.Object) bool { return !t.left[o.Name] })
	if len(j.missing) > 0 {
		return t.err
	}
	j.fails, j.told = 0, nil
	c.mu.Lock()
	j.complete = true
	c.mu.Unlock()
	c.Logger.Info("release of other nodes copied", "app", j.app.String(), "release", j.releaseKey.release.String(),
		"bytes", j.total, "took", time.Since(start).Round(time.Millisecond))
	c.Changed()
	return nil
}

// parallel is how many objects are copied at one time: each is to come faster than a
// node may be that is not taken for broken.
func (c *Copier) parallel() int {
	if c.Rate <= 0 {
		return parallel
	}
	return int(min(max(c.Rate/LeastRate, 1), parallel))
}

// progress counts what came, and has the entry say so now and then.
func (c *Copier) progress(s *copying, size int64) {
	c.mu.Lock()
	s.left -= size
	tell := c.Clock().Sub(c.saidAt) >= tellEvery
	if tell {
		c.saidAt = c.Clock()
	}
	c.mu.Unlock()
	if tell {
		c.Changed()
	}
}

// addresses are those of the nodes that have the release, owners first.
func (c *Copier) addresses(s *Standing) (all []string) {
	for _, n := range slices.Concat(s.Owners, s.Holders) {
		if n.Peer != "" && !c.isSelf(&n) && !slices.Contains(all, n.Peer) {
			all = append(all, n.Peer)
		}
	}
	return all
}

// transfer is what has come of the objects that were missing.
type transfer struct {
	mu   sync.Mutex
	left map[holdfast.ObjectName]bool
	err  error // the worst so far
	stop bool
}

func (t *transfer) note(o holdfast.Object, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.left, o.Name)
		return
	}
	// That one object cannot be had says nothing of the others.
	lasting := !errors.Is(err, holdfast.ErrNotFound)
	if t.err == nil || lasting {
		t.err = err
	}
	t.stop = t.stop || lasting
}

func (t *transfer) hopeless() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stop
}

var (
	// errStore: it is this node's store that fails.
	errStore = errors.New("this node's store")
	// errNobody: there is no node to ask at present.
	errNobody = fmt.Errorf("%w: no other node can be asked", holdfast.ErrUnavailable)
)

// fetch gets one object from the first node that gives it.
func (c *Copier) fetch(ctx context.Context, s *store.Store, o holdfast.Object, first []string) error {
	ref := blob.Ref{Name: o.Name, Size: o.Size}
	var peers []blob.Peer
	if c.Peers != nil {
		peers = c.Peers.First(ref, first)
	}
	worst := fmt.Errorf("object %s: %w: none of %d nodes has it", o.Name, holdfast.ErrNotFound, len(peers))
	if len(peers) == 0 {
		worst = errNobody
	}
	for _, p := range peers[:min(len(peers), askMost)] {
		err := c.take(ctx, s, p, ref)
		switch {
		case err == nil, errors.Is(err, errStore), ctx.Err() != nil:
			return err
		case !errors.Is(err, holdfast.ErrNotFound):
			worst = err
		}
	}
	return worst
}

// take stores what one node gives, if that is the object.
func (c *Copier) take(ctx context.Context, s *store.Store, p blob.Peer, ref blob.Ref) error {
	body, err := p.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // was only read
	theirs := &source{r: c.pace.Reader(ctx, body)}
	_, err = s.PutObject(ctx, ref.Name, ref.Size, theirs)
	switch {
	case err == nil:
		return nil
	case theirs.err != nil:
		return fmt.Errorf("object %s: %w: %w", ref.Name, holdfast.ErrUnavailable, theirs.err)
	case errors.Is(err, holdfast.ErrCorrupt):
		p.Reject(ref, err)
		return fmt.Errorf("%w: a node has it otherwise: %v", holdfast.ErrUnavailable, err) //nolint:errorlint // it is not corrupt for that
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// cause says what is wrong in words that do not change from one object to the next.
func cause(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	for _, known := range []error{errNobody, errStore, holdfast.ErrNotFound, holdfast.ErrCorrupt, holdfast.ErrUnavailable, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return err.Error()
}
