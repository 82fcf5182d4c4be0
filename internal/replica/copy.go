package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store"
)

// copy copies wanted releases until all are complete or the next survey is due. It
// returns when that is.
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

// failed postpones a release, and logs new reasons. The first failure in a row says
// little: the node that brought it may be known but not connected yet.
func (c *Copier) failed(j *job, err error) {
	j.next = c.Clock().Add(min(time.Second<<min(j.fails, 6), time.Minute))
	j.fails++
	if why := cause(err); j.fails > 1 && !slices.Contains(j.told, why) && len(j.told) < 16 {
		j.told = append(j.told, why)
		c.Logger.Warn("release of other nodes not copied; trying again, and not logged again for this cause",
			"app", j.app.String(), "release", j.releaseKey.release.String(), "cause", why, "error", err)
	}
	if errors.Is(err, errStore) {
		c.refuse(j, err)
	}
}

// copyOne gets the missing parts of a release.
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
	j.accept(true)
	c.mu.Unlock()
	c.Logger.Info("release of other nodes copied", "app", j.app.String(), "release", j.releaseKey.release.String(),
		"bytes", j.total, "took", time.Since(start).Round(time.Millisecond))
	c.Changed()
	return nil
}

// parallel is how many objects are copied at a time: each must be faster than the rate at
// which a node counts as broken.
func (c *Copier) parallel() int {
	if c.Rate <= 0 {
		return parallel
	}
	return int(min(max(c.Rate/LeastRate, 1), parallel))
}

// progress counts copied bytes, and updates the entry now and then.
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

// transfer is the result of fetching missing objects.
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
	// A failure for one object says nothing about the others.
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
	// errStore: this node's store fails.
	errStore = errors.New("this node's store")
	// errNobody: there is currently no node to ask.
	errNobody = fmt.Errorf("%w: no other node can be asked", holdfast.ErrUnavailable)
)

// fetch gets one object from the first node that has it.
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

// take stores the bytes from one node, if they are the object.
func (c *Copier) take(ctx context.Context, s *store.Store, p blob.Peer, ref blob.Ref) error {
	body, err := p.Open(ctx, ref)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // was only read
	theirs := &source{r: c.pace.Reader(ctx, body)}
	_, err = s.PutObject(ctx, ref.Name, ref.Size, theirs)
	switch {
	case err == nil && c.takedowns().Kills(ref.Name): // while it came
		return s.DeleteObject(ctx, ref.Name)
	case err == nil:
		return nil
	case theirs.err != nil:
		return fmt.Errorf("object %s: %w: %w", ref.Name, holdfast.ErrUnavailable, theirs.err)
	case errors.Is(err, holdfast.ErrCorrupt):
		p.Reject(ref, err)
		return fmt.Errorf("%w: a node has it otherwise: %v", holdfast.ErrUnavailable, err) //nolint:errorlint // that does not make it corrupt
	}
	return fmt.Errorf("%w: %w", errStore, err)
}

// cause describes an error in words that are the same for all objects.
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
