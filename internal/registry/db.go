package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// db is a driver with a deadline for every call, batched reads, and errors of package
// holdfast. All errors are mapped here.
type db struct {
	driver  kv.Driver
	reads   kv.Reader // a group of the driver's; nil while each read stands alone
	timeout time.Duration
	fence   *Leadership // the leadership that commits depend on, or nil
}

// group returns d for work that needs several reads: together they cost as little as the
// driver can manage. A group of a group is the same group.
func (d db) group() db {
	if d.reads == nil {
		d.reads = kv.Group(d.driver)
	}
	return d
}

func (d db) reader() kv.Reader {
	if d.reads == nil {
		return d.driver
	}
	return d.reads
}

// batch is how many keys one Get requests.
const batch = 200

// get returns the keys that exist, by key.
func (d db) get(ctx context.Context, keys ...string) (map[string]kv.Entry, error) {
	found := make(map[string]kv.Entry, len(keys))
	for some := range slices.Chunk(keys, batch) {
		entries, err := bounded(ctx, d.timeout, func(ctx context.Context) ([]kv.Entry, error) {
			return d.reader().Get(ctx, some...)
		})
		if err != nil {
			return nil, mapped(err)
		}
		for _, e := range entries {
			found[e.Key] = e
		}
	}
	return found, nil
}

// list returns the names, without their directory, of the keys in dir.
func (d db) list(ctx context.Context, dir string) ([]string, error) {
	names, err := bounded(ctx, d.timeout, func(ctx context.Context) ([]string, error) {
		keys, _, err := d.reader().List(ctx, dir)
		return keys, err
	})
	for i, key := range names {
		_, names[i] = kv.Split(key)
	}
	return names, mapped(err)
}

func (d db) commit(ctx context.Context, ops ...kv.Op) error {
	_, err := d.apply(ctx, ops...)
	return err
}

// apply is commit for callers that need the receipt.
func (d db) apply(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if d.fence != nil {
		if err := d.fence.suspected(); err != nil {
			return kv.Receipt{}, err
		}
		ops = slices.Concat(ops, d.fence.fence)
	}
	receipt, err := bounded(ctx, d.timeout, func(ctx context.Context) (kv.Receipt, error) {
		return d.driver.Commit(ctx, ops...)
	})
	if d.fence != nil && errors.Is(err, kv.ErrConflict) {
		if lost := d.fence.verify(ctx, d); lost != nil {
			return kv.Receipt{}, lost
		}
	}
	return receipt, mapped(err)
}

func (d db) lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	lease, err := bounded(ctx, d.timeout, func(ctx context.Context) (kv.Lease, error) {
		return d.driver.Lease(ctx, ttl)
	})
	return lease, mapped(err)
}

// watch bounds the start of the watch, not its life.
func (d db) watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(d.timeout, func() { cancel(context.DeadlineExceeded) })
	hints, err := d.driver.Watch(ctx, dir)
	if !late.Stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel(err)
		return nil, mapped(err)
	}
	return hints, nil
}

func bounded[T any](ctx context.Context, timeout time.Duration, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return call(ctx)
}

// mapped adds the error of package holdfast that classifies err.
func mapped(err error) error {
	kind := holdfast.ErrUnavailable
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kv.ErrConflict):
		kind = holdfast.ErrConflict
	case errors.Is(err, kv.ErrLeaseLost):
		kind = holdfast.ErrLeaseLost
	case errors.Is(err, kv.ErrDenied):
		kind = holdfast.ErrDenied
	case errors.Is(err, kv.ErrInvalid):
		kind = holdfast.ErrInvalid
	}
	return fmt.Errorf("registry %w: %w", kind, err)
}

func decode(e kv.Entry, into any) error {
	if err := json.Unmarshal(e.Value, into); err != nil {
		return fmt.Errorf("key %s: %w: %w", e.Key, holdfast.ErrCorrupt, err)
	}
	return nil
}

// errAgain asks retry for one more attempt.
var errAgain = fmt.Errorf("read again: %w", kv.ErrConflict)

const (
	tries     = 50
	pauseMost = 100 * time.Millisecond
)

// retry calls attempt, a read followed by a commit, until the commit neither conflicts
// nor has a lost outcome. unsure is set once an outcome was lost. An attempt must then
// look for the result of the lost commit before it commits anything. Its read decides:
// either it finds the result, or a token that the lost commit depends on has changed, or
// its own commit consumes the same tokens.
func (r *Registry) retry(ctx context.Context, what string, attempt func(unsure bool) error) error {
	unsure := false
	for n := range tries {
		err := attempt(unsure)
		lost := errors.Is(err, kv.ErrUnknown)
		if !lost && !errors.Is(err, kv.ErrConflict) {
			return wrap(what, err)
		}
		unsure = unsure || lost
		if err := pause(ctx, n); err != nil {
			return fmt.Errorf("%s: %w: %w", what, holdfast.ErrUnavailable, err)
		}
	}
	if unsure {
		return fmt.Errorf("%s: %w: the outcome is not known, look before you try again", what, holdfast.ErrUnavailable)
	}
	return fmt.Errorf("%s: %w: others kept changing the same, gave up after %d tries", what, holdfast.ErrConflict, tries)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// pause waits a random time, longer with each call, so that rivals do not collide again.
func pause(ctx context.Context, n int) error {
	return wait.For(ctx, rand.N(min(time.Millisecond<<min(n, 10), pauseMost)))
}
