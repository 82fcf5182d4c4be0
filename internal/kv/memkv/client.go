package memkv

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

var (
	_ kv.Driver = (*Client)(nil)
	_ io.Closer = (*Client)(nil)
	_ kv.Lease  = (*lease)(nil)
)

// Client is one of several handles on a DB.
type Client struct {
	db        *DB
	leases    map[*lease]struct{}
	closed    bool
	suspended bool
}

// Get implements kv.Driver; its entries are one snapshot.
func (c *Client) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	for _, key := range keys {
		if err := kv.CheckKey(key); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
	}
	var entries []kv.Entry
	err := c.do(ctx, Call{Client: c, Method: "get", Keys: keys}, func() error {
		entries = c.db.get(keys)
		return nil
	})
	return entries, err
}

// List implements kv.Driver.
func (c *Client) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	var keys []string
	var rev kv.Revision
	err := c.do(ctx, Call{Client: c, Method: "list", Dir: dir}, func() error {
		keys, rev = c.db.list(dir), c.db.rev
		return nil
	})
	return keys, rev, err
}

// Watch implements kv.Driver.
func (c *Client) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	w := &watch{client: c, dir: dir, hints: wait.NewHint()}
	err := c.do(ctx, Call{Client: c, Method: "watch", Dir: dir}, func() error {
		c.db.watches[w] = struct{}{}
		w.stop = context.AfterFunc(ctx, w.close)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return w.hints, nil
}

// Commit implements kv.Driver.
func (c *Client) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if err := kv.CheckOps(ops); err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	call := Call{Client: c, Method: "commit", Ops: ops}
	var receipt kv.Receipt
	err := c.do(ctx, call, func() (err error) {
		receipt, err = c.db.commit(c, ops)
		return err
	})
	if err == nil && c.db.opts.After != nil {
		err = c.db.opts.After(ctx, call)
	}
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	return receipt, nil
}

// Lease implements kv.Driver.
func (c *Client) Lease(ctx context.Context, ttl time.Duration) (kv.Lease, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("lease of %v: %w", ttl, kv.ErrInvalid)
	}
	l := &lease{client: c, ttl: ttl, done: make(chan struct{})}
	err := c.do(ctx, Call{Client: c, Method: "lease"}, func() error {
		c.leases[l] = struct{}{}
		if c.suspended {
			l.suspend()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close ends the client's leases and watches. It may be called twice.
func (c *Client) Close() error {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	c.closed = true
	for l := range c.leases {
		l.end()
	}
	for w := range c.db.watches {
		if w.client == c {
			w.end()
		}
	}
	return nil
}

// Suspend stops the renewal of the client's leases, like a stopped process or a cut
// cable. Operations still pass (Options.Before can stop those). Within their ttl the
// leases are suspected and then end.
func (c *Client) Suspend() {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	c.suspended = true
	for l := range c.leases {
		l.suspend()
	}
}

// Resume renews suspended leases that are not suspected yet.
func (c *Client) Resume() {
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	c.suspended = false
	for l := range c.leases {
		l.resume()
	}
}

// do runs f under the lock unless Before fails the call.
func (c *Client) do(ctx context.Context, call Call, f func() error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", call.Method, err)
	}
	if c.db.opts.Before != nil {
		if err := c.db.opts.Before(ctx, call); err != nil {
			return err
		}
	}
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	if c.closed {
		return fmt.Errorf("%s: %w", call.Method, kv.ErrClosed)
	}
	return f()
}
