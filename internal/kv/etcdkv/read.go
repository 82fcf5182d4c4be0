package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// patience bounds how long a read is retried, in request timeouts.
	patience = 4
	// perTxn is how many keys one request reads; etcd allows 128.
	perTxn = 100

	firstPause   = 25 * time.Millisecond
	longestPause = time.Second
)

// Get implements kv.Driver; its entries are one snapshot.
func (d *Driver) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	for _, key := range keys {
		if err := kv.CheckKey(key); err != nil {
			return nil, fmt.Errorf("get: %w", err)
		}
	}
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	defer leave()
	var entries []kv.Entry
	for {
		entries, err = d.snapshot(ctx, keys)
		if !errors.Is(err, rpctypes.ErrCompacted) || ctx.Err() != nil {
			break // compacted during the read: read a newer one
		}
	}
	if err != nil {
		return nil, fmt.Errorf("get from %s: %w", d.name, err)
	}
	return entries, nil
}

// snapshot reads keys at the revision of the first request.
func (d *Driver) snapshot(ctx context.Context, keys []string) ([]kv.Entry, error) {
	entries := make([]kv.Entry, 0, len(keys))
	var at int64 // 0 is now
	for chunk := range slices.Chunk(keys, perTxn) {
		ops := make([]clientv3.Op, len(chunk))
		for i, key := range chunk {
			ops[i] = clientv3.OpGet(d.keys.key(key), clientv3.WithRev(at))
		}
		resp, err := d.read(ctx, ops...)
		if err != nil {
			return nil, err
		}
		if at == 0 {
			at = resp.Header.Revision
		}
		for i, r := range resp.Responses {
			for _, e := range r.GetResponseRange().Kvs {
				entries = append(entries, entry(chunk[i], e))
			}
		}
	}
	return entries, nil
}

// List implements kv.Driver.
func (d *Driver) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list: %w", err)
	}
	defer leave()
	first, end := d.keys.children(dir)
	resp, err := d.read(ctx, clientv3.OpGet(first, clientv3.WithRange(end), clientv3.WithKeysOnly()))
	if err != nil {
		return nil, 0, fmt.Errorf("list %q in %s: %w", dir, d.name, err)
	}
	return d.keys.list(dir, resp.Responses[0].GetResponseRange().Kvs), kv.Revision(resp.Header.Revision), nil
}

// read executes ops, which only read, in one linearizable transaction.
func (d *Driver) read(ctx context.Context, ops ...clientv3.Op) (resp *clientv3.TxnResponse, err error) {
	err = d.callWithRetry(ctx, func(ctx context.Context) (err error) {
		resp, err = d.client.Txn(ctx).Then(ops...).Commit()
		return err
	})
	return resp, err
}

// callWithRetry sends a repeatable request to one member after the other, until one
// answers or patience ends.
func (d *Driver) callWithRetry(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience*d.timeout, errNoAnswer)
	defer cancel()
	pause := firstPause
	for n := 1; ; n++ {
		err := d.once(ctx, request)
		if err == nil || ctx.Err() != nil || !mayPass(err) || isLogin(err) && n > logins {
			return because(ctx, err)
		}
		if wait.For(ctx, pause) != nil {
			return because(ctx, err)
		}
		pause = min(2*pause, longestPause)
	}
}

// once sends a request to one member, with a deadline.
func (d *Driver) once(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, errNoAnswer)
	defer cancel()
	return because(ctx, request(ctx))
}

// because attaches to an interrupted call the reason for its interruption.
func because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w (%v)", cause, err) //nolint:errorlint // the interruption is a detail
}

// mayPass reports whether a failed request may succeed on another member, or on the same
// one later.
func mayPass(err error) bool {
	var known rpctypes.EtcdError
	switch {
	case errors.Is(err, errNoAnswer) || isLogin(err):
		return true
	case errors.As(err, &known):
		return known.Code() == codes.Unavailable
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return true // of a member that is shutting down: our own was checked before
	}
	code := status.Code(err)
	return code == codes.Unavailable || code == codes.Internal
}

// isLogin reports whether etcd refused a request because of a login that the client has
// since renewed.
func isLogin(err error) bool {
	return errors.Is(err, rpctypes.ErrInvalidAuthToken) || errors.Is(err, rpctypes.ErrAuthOldRevision) ||
		errors.Is(err, rpctypes.ErrUserEmpty)
}
