package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// AllowTakedown lets bytes that were taken down be published again. Releases that
// contained them get them back only when published again. It returns the new takedowns.
// ErrNotFound.
func (r *Registry) AllowTakedown(ctx context.Context, d holdfast.Digest, by string) (now *holdfast.Takedowns, err error) {
	err = r.retry(ctx, "allow "+d.String(), func(bool) error {
		now, err = r.changeTakedowns(ctx, true, func(got map[string]kv.Entry, down []holdfast.Takedown) ([]holdfast.Takedown, []kv.Op, error) {
			i := slices.IndexFunc(down, func(t holdfast.Takedown) bool { return t.Digest == d })
			switch {
			case i < 0:
				return nil, nil, fmt.Errorf("%w: it is not taken down", holdfast.ErrNotFound)
			case down[i].Allowed:
				return nil, nil, nil
			}
			down[i].Allowed = true
			info := TakedownInfo{Digest: d}
			if e := got[takedownKey(d)]; e.Key != "" {
				if err := decode(e, &info); err != nil {
					return nil, nil, err
				}
			}
			info.AllowedAt, info.AllowedBy = r.clock().UTC().Truncate(time.Second), by
			op, err := set(takedownKey(d), info, got[takedownKey(d)])
			return down, []kv.Op{op}, err
		}, takedownKey(d))
		return err
	})
	return now, err
}

// TakedownsRemoved records that the shared store no longer has dead objects of the given
// takedowns, if they have not changed meanwhile.
func (r *Registry) TakedownsRemoved(ctx context.Context, before []holdfast.Takedown) error {
	return r.retry(ctx, "note that bytes were removed", func(bool) error {
		_, err := r.changeTakedowns(ctx, false, func(_ map[string]kv.Entry, down []holdfast.Takedown) ([]holdfast.Takedown, []kv.Op, error) {
			changed := false
			for i := range down {
				same := slices.ContainsFunc(before, func(b holdfast.Takedown) bool {
					return b.Digest == down[i].Digest && b.Generation == down[i].Generation && slices.Equal(b.Forms, down[i].Forms)
				})
				if same && !down[i].Removed {
					down[i].Removed, changed = true, true
				}
			}
			if !changed {
				return nil, nil, nil
			}
			return down, nil, nil
		})
		return err
	})
}

// ForgetTakedowns forgets the takedowns of digests that are allowed and removed: no
// release refers to one of their dead objects any more, and none can again.
func (r *Registry) ForgetTakedowns(ctx context.Context, digests []holdfast.Digest) error {
	return r.retry(ctx, "forget takedowns", func(bool) error {
		_, err := r.changeTakedowns(ctx, true, func(_ map[string]kv.Entry, down []holdfast.Takedown) ([]holdfast.Takedown, []kv.Op, error) {
			left := slices.DeleteFunc(slices.Clone(down), func(t holdfast.Takedown) bool {
				return t.Allowed && t.Removed && slices.Contains(digests, t.Digest)
			})
			if len(left) == len(down) {
				return nil, nil, nil
			}
			return left, nil, nil
		})
		return err
	})
}

// changeTakedowns commits the result of change, if not nil. news: nodes have to act on
// it. Additional keys are read in the same call.
func (r *Registry) changeTakedowns(ctx context.Context, news bool,
	change func(got map[string]kv.Entry, down []holdfast.Takedown) ([]holdfast.Takedown, []kv.Op, error), further ...string,
) (*holdfast.Takedowns, error) {
	got, err := r.db.get(ctx, append(further, takedownsKey, registryKey)...)
	if err != nil {
		return nil, err
	}
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return nil, err
	}
	before, err := parseTakedowns(got[takedownsKey])
	if err != nil {
		return nil, err
	}
	down, ops, err := change(got, slices.Clone(before.All()))
	if err != nil || down == nil {
		return before, err
	}
	seq := before.Seq()
	if news {
		seq++
	}
	op, err := setTakedowns(seq, down, got[takedownsKey])
	if err != nil {
		return nil, err
	}
	if err := r.db.commit(ctx, append(ops, op)...); err != nil {
		return nil, err
	}
	return holdfast.NewTakedowns(seq, down)
}
