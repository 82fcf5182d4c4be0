// Package memstore keeps a store in memory. It passes the same conformance suite as the
// other drivers, counts its calls, and fails on demand, for tests of other packages.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Op names a method of store.Driver.
type Op string

// The methods of store.Driver.
const (
	Create Op = "create"
	Open   Op = "open"
	Stat   Op = "stat"
	List   Op = "list"
	Delete Op = "delete"
)

// Calls counts the calls of each method.
type Calls struct{ Create, Open, Stat, List, Delete int }

// Hook runs at the beginning of every call, outside of all locks, with the key or, for
// List, the prefix. The call fails with the error it returns. To delay a call, block in
// it.
type Hook func(ctx context.Context, op Op, key string) error

// Driver is a store.Driver.
type Driver struct {
	mu    sync.Mutex
	blobs map[string]blob
	calls map[Op]int
	hook  Hook
}

type blob struct {
	data    []byte // never changed
	created time.Time
}

var _ store.Driver = (*Driver)(nil)

// New returns an empty store.
func New() *Driver {
	return &Driver{blobs: map[string]blob{}, calls: map[Op]int{}}
}

// Calls returns how often each method was called, failures included.
func (d *Driver) Calls() Calls {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Calls{d.calls[Create], d.calls[Open], d.calls[Stat], d.calls[List], d.calls[Delete]}
}

// SetHook makes hook run in every later call; nil ends that.
func (d *Driver) SetHook(hook Hook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook = hook
}

// Change replaces the bytes under key behind the store's back, like a faulty disk. It
// reports whether there were any.
func (d *Driver) Change(key string, change func([]byte) []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.blobs[key]
	if ok {
		b.data = change(bytes.Clone(b.data))
		d.blobs[key] = b
	}
	return ok
}

// Create implements store.Driver.
func (d *Driver) Create(ctx context.Context, key string, size int64, r io.Reader) error {
	if err := d.begin(ctx, Create, key); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("create %s: %w: size %d", key, holdfast.ErrInvalid, size)
	}
	if _, err := d.get(Create, key); err == nil {
		return fmt.Errorf("create %s: %w", key, holdfast.ErrExists)
	}
	data, err := io.ReadAll(io.LimitReader(r, size+1))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", key, err)
	}
	if int64(len(data)) != size {
		return fmt.Errorf("create %s: %w: the reader gave other than %d bytes", key, holdfast.ErrInvalid, size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, taken := d.blobs[key]; taken {
		return fmt.Errorf("create %s: %w", key, holdfast.ErrExists)
	}
	d.blobs[key] = blob{data, time.Now()}
	return nil
}

// Open implements store.Driver.
func (d *Driver) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := d.begin(ctx, Open, key); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("open %s: %w: offset %d", key, holdfast.ErrInvalid, off)
	}
	b, err := d.get(Open, key)
	if err != nil {
		return nil, err
	}
	data := b.data[min(off, int64(len(b.data))):]
	if n >= 0 {
		data = data[:min(n, int64(len(data)))]
	}
	return &reader{ctx, bytes.NewReader(data)}, nil
}

// reader ends with the context of its Open, like those of other drivers.
type reader struct {
	ctx  context.Context
	data *bytes.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.data.Read(p)
}

func (r *reader) Close() error { return nil }

// Stat implements store.Driver.
func (d *Driver) Stat(ctx context.Context, key string) (store.Info, error) {
	if err := d.begin(ctx, Stat, key); err != nil {
		return store.Info{}, err
	}
	b, err := d.get(Stat, key)
	if err != nil {
		return store.Info{}, err
	}
	return store.Info{Key: key, Size: int64(len(b.data)), Created: b.created}, nil
}

// List implements store.Driver. It yields the keys that existed when it began and were
// not deleted meanwhile.
func (d *Driver) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := d.call(ctx, List, prefix); err != nil {
			yield(store.Info{}, err)
			return
		}
		for _, key := range d.keys(prefix) {
			if key <= after || !strings.HasPrefix(key, prefix) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(store.Info{}, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			b, err := d.get(List, key)
			if err != nil {
				continue
			}
			if !yield(store.Info{Key: key, Size: int64(len(b.data)), Created: b.created}, nil) {
				return
			}
		}
	}
}

// Delete implements store.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	if err := d.begin(ctx, Delete, key); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.blobs, key)
	return nil
}

// begin counts a call, lets the hook fail it, and checks its key.
func (d *Driver) begin(ctx context.Context, op Op, key string) error {
	if err := d.call(ctx, op, key); err != nil {
		return err
	}
	if err := store.CheckKey(key); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}

func (d *Driver) call(ctx context.Context, op Op, key string) error {
	d.mu.Lock()
	d.calls[op]++
	hook := d.hook
	d.mu.Unlock()
	err := ctx.Err()
	if err == nil && hook != nil {
		err = hook(ctx, op, key)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

func (d *Driver) get(op Op, key string) (blob, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.blobs[key]
	if !ok {
		return blob{}, fmt.Errorf("%s %s: %w", op, key, holdfast.ErrNotFound)
	}
	return b, nil
}

func (d *Driver) keys(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []string
	for key := range d.blobs {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
