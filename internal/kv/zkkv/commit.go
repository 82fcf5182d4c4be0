package zkkv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// young is the version below which a deleted and recreated znode might reach the same
// version unseen (see the package comment).
const young = 8

// Commit implements kv.Driver. Deleting a key that has keys below it, or creating one
// below a leased key, fails with ErrInvalid.
func (d *Driver) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if err := kv.CheckOps(ops); err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	leave, err := d.beginCall(ctx)
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	defer leave()
	for {
		receipt, err := d.try(ctx, ops)
		if err == nil {
			return receipt, nil
		}
		if !errors.Is(err, errNotSent) || ctx.Err() != nil {
			return kv.Receipt{}, fmt.Errorf("commit of %s %s: %w", ops[0].Kind, ops[0].Key, errLost(err))
		}
		_ = wait.About(ctx, pauseLeast) // nothing was sent: there may be another connection soon
	}
}

// try attempts a commit over the current connection.
func (d *Driver) try(ctx context.Context, ops []kv.Op) (kv.Receipt, error) {
	s, l, err := d.carrier(ctx, ops)
	if err != nil {
		return kv.Receipt{}, err
	}
	t := newTrial(d, s, l, ops)
	steps, results, err := t.run(ctx)
	if err != nil {
		return kv.Receipt{}, err
	}
	return t.receipt(ops, steps, results)
}

// unsent marks the error of a read before a multi, unless it is a server's answer.
func unsent(err error) error {
	if answered(err) || errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrLeaseLost) {
		return err
	}
	return fmt.Errorf("%w: %w", errNotSent, err)
}

// trial is a commit in progress.
type trial struct {
	d      *Driver
	s      *session
	l      *link            // owner of session s; nil if s belongs to a lease
	acts   []*act           // in the order of their keys
	guards map[string]int64 // how many children each directory has ever had, when read
}

// act is an operation and the known state of its znode.
type act struct {
	op    kv.Op
	path  string
	token token    // required by the op; after the commit, the znode's token
	over  *zk.Stat // of the mere directory that a create turns into a key
}

// newTrial sorts creations so that keys precede those below them.
func newTrial(d *Driver, s *session, l *link, ops []kv.Op) *trial {
	t := &trial{d: d, s: s, l: l}
	for _, op := range ops {
		t.acts = append(t.acts, &act{op: op, path: d.path(op.Key)})
	}
	slices.SortStableFunc(t.acts, func(a, b *act) int { return cmp.Compare(a.op.Key, b.op.Key) })
	return t
}

// run reads the current state and tries a matching multi until one succeeds: other
// clients may be changing the same keys.
func (t *trial) run(ctx context.Context) ([]step, []zk.MultiResponse, error) {
	for n := range tries {
		if n > 1 {
			_ = wait.About(ctx, min(time.Millisecond<<min(n, 6), 50*time.Millisecond))
		}
		if err := t.compareTokens(ctx); err != nil {
			return nil, nil, unsent(err)
		}
		steps := t.steps()
		if before := t.d.beforeMulti.Load(); before != nil {
			(*before)()
		}
		t.d.stats.multis.Add(1)
		results, err := call(ctx, t.s, multi(steps))
		if err == nil {
			return steps, results, nil
		}
		if err := t.learn(ctx, steps, results, err); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, errBusy
}

func multi(steps []step) func(*zk.Conn) ([]zk.MultiResponse, error) {
	requests := make([]any, len(steps))
	for i := range steps {
		requests[i] = steps[i].request
	}
	return func(c *zk.Conn) ([]zk.MultiResponse, error) { return c.Multi(requests...) }
}

// compareTokens compares tokens with the znodes. A mismatch is checked again after a
// sync, because a server may lag behind the one that a token was read from.
func (t *trial) compareTokens(ctx context.Context) error {
	for _, a := range t.acts {
		if a.op.Kind == kv.KindCreate {
			continue
		}
		var ok bool
		if a.token, ok = unpack(a.op.Token); !ok {
			return a.conflict()
		}
	}
	misfit, err := t.compare(ctx)
	if err != nil || misfit == nil {
		return err
	}
	if err := t.d.barrier(ctx, t.s); err != nil {
		return err
	}
	if misfit, err = t.compare(ctx); err == nil && misfit != nil {
		return misfit.conflict()
	}
	return err
}

// compare first counts the directories' children, then reads the znodes: so a znode that
// was replaced by the time of the multi was created after the count.
func (t *trial) compare(ctx context.Context) (misfit *act, err error) {
	if err := t.count(ctx); err != nil {
		return nil, err
	}
	fits := make([]bool, len(t.acts))
	err = each(ctx, len(t.acts), func(ctx context.Context, i int) (err error) {
		a := t.acts[i]
		if fits[i] = a.op.Kind == kv.KindCreate; fits[i] {
			return nil
		}
		fits[i], err = t.fits(ctx, a)
		return err
	})
	if i := slices.Index(fits, false); i >= 0 {
		misfit = t.acts[i]
	}
	return misfit, err
}

func (t *trial) fits(ctx context.Context, a *act) (bool, error) {
	if t.l != nil && a.op.Kind == kv.KindSet && a.token.leased && a.token.version >= young {
		return t.d.lasts(ctx, t.l, a.path, a.token)
	}
	n, ok, err := t.d.exists(ctx, t.s, a.path)
	return ok && tokenOf(&n.stat) == a.token, err
}

// count finds the directories that the multi must guard: those of young tokens, and any
// one if no other request would return the transaction's number.
func (t *trial) count(ctx context.Context) error {
	var dirs []string
	stat := false
	for _, a := range t.acts {
		if a.op.Kind != kv.KindCreate && a.token.version < young {
			dirs = append(dirs, above(a.path))
		}
		stat = stat || a.op.Kind == kv.KindSet || a.op.Kind == kv.KindCreate
	}
	if !stat && len(dirs) == 0 {
		dirs = append(dirs, above(t.acts[0].path))
	}
	slices.Sort(dirs)
	dirs = slices.Compact(dirs)
	counts := make([]int64, len(dirs))
	err := each(ctx, len(dirs), func(ctx context.Context, i int) error {
		n, _, err := t.d.exists(ctx, t.s, dirs[i])
		// The server counts creations and reports 2 * creations - children.
		counts[i] = (int64(n.stat.Cversion) + int64(n.stat.NumChildren)) / 2
		return err
	})
	t.guards = make(map[string]int64, len(dirs))
	for i, dir := range dirs {
		t.guards[dir] = counts[i]
	}
	return err
}

func (a *act) conflict() error {
	if a.op.Kind == kv.KindCreate {
		return fmt.Errorf("create %s, which exists: %w", a.op.Key, kv.ErrConflict)
	}
	return fmt.Errorf("%s %s, which has changed: %w", a.op.Kind, a.op.Key, kv.ErrConflict)
}

// learn derives from a failed multi how to change the next one; an error from it ends the
// commit.
func (t *trial) learn(ctx context.Context, steps []step, results []zk.MultiResponse, err error) error {
	if errors.Is(err, errNotSent) || errors.Is(err, zk.ErrSessionExpired) {
		return err // nothing was sent, or all of it was refused
	}
	if errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionMoved) {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	i := slices.IndexFunc(results, func(r zk.MultiResponse) bool { return r.Error != nil })
	if i < 0 || i >= len(steps) {
		if answered(err) {
			return err
		}
		return fmt.Errorf("%w: %w", kv.ErrUnknown, err)
	}
	return t.refused(ctx, steps[i], results[i].Error)
}

// refused handles the refusal of one step, which is that of all.
func (t *trial) refused(ctx context.Context, s step, err error) error {
	switch {
	case errors.Is(err, zk.ErrNoAuth):
		return t.d.explain(s.path, err)
	case s.act == nil: // a guard: read again
		return nil
	case errors.Is(err, zk.ErrNotEmpty):
		return fmt.Errorf("%s %s: other keys lie below it: %w", s.act.op.Kind, s.act.op.Key, kv.ErrInvalid)
	case errors.Is(err, zk.ErrNoChildrenForEphemerals):
		return fmt.Errorf("create %s: it would lie below a leased key: %w", s.act.op.Key, kv.ErrInvalid)
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNodeExists), errors.Is(err, zk.ErrBadVersion):
	default:
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if s.act.op.Kind != kv.KindCreate {
		return s.act.conflict()
	}
	return t.meet(ctx, s.act)
}

// meet adapts a create whose znode already exists or whose parent is missing.
func (t *trial) meet(ctx context.Context, a *act) error {
	n, ok, err := t.d.get(ctx, t.s, a.path)
	if err != nil {
		return unsent(err)
	}
	a.over = nil
	if !ok {
		return unsent(t.makeParents(ctx, a))
	}
	if _, isKey := decode(n.data); isKey {
		return a.conflict()
	}
	a.over = &n.stat
	return nil
}

// makeParents creates the missing directories above a's znode, except keys of the commit
// itself.
func (t *trial) makeParents(ctx context.Context, a *act) error {
	parts := strings.Split(a.path[1:], "/")
	path := ""
	for _, part := range parts[:len(parts)-1] {
		path += "/" + part
		if t.makes(path) {
			return nil
		}
		_, ok, err := t.d.exists(ctx, t.s, path)
		if err == nil && !ok {
			err = t.makeDirectory(ctx, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) makeDirectory(ctx context.Context, path string) error {
	acl := t.d.cfg.acl()
	t.d.stats.creates.Add(1)
	_, err := call(ctx, t.s, func(c *zk.Conn) (string, error) {
		return c.Create(path, []byte(directory), 0, acl)
	})
	switch {
	case errors.Is(err, zk.ErrNodeExists):
		return nil
	case errors.Is(err, zk.ErrNoAuth):
		return t.d.explain(above(path)+"/", err)
	case err != nil:
		return fmt.Errorf("make directory %s: %w", path, err)
	}
	return nil
}

// makes reports whether the commit itself creates the znode.
func (t *trial) makes(path string) bool {
	return slices.ContainsFunc(t.acts, func(a *act) bool {
		return a.path == path && a.op.Kind == kv.KindCreate && a.over == nil
	})
}
