package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// subscription is an etcd watch. The client resumes it without a gap when a connection
// breaks; it ends when that is impossible.
type subscription struct {
	events clientv3.WatchChan
	cancel context.CancelCauseFunc
}

// Watch implements kv.Driver. Events that etcd repeats after switching members cause an
// extra hint, which is harmless.
func (d *Driver) Watch(ctx context.Context, dir string) (<-chan struct{}, error) {
	if err := kv.CheckDir(dir); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	sub, err := d.subscribe(ctx, dir)
	if err != nil {
		leave()
		return nil, fmt.Errorf("watch %q in %s: %w", dir, d.name, err)
	}
	hints := wait.NewHint()
	go func() {
		defer leave()
		defer close(hints)
		d.follow(ctx, dir, sub, hints)
	}()
	return hints, nil
}

// subscribe returns once the watch is active: it sees every later change. A member that
// lost its leader ends the watch instead of staying silent.
func (d *Driver) subscribe(ctx context.Context, dir string) (*subscription, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d.timeout, func() { cancel(errNoAnswer) })
	first, end := d.keys.children(dir)
	events := d.client.Watch(clientv3.WithRequireLeader(ctx), first, clientv3.WithRange(end), clientv3.WithCreatedNotify())
	resp, ok := <-events
	switch err := resp.Err(); {
	case !timer.Stop():
		<-ctx.Done()
		return nil, because(ctx, errors.New("watch is not confirmed"))
	case !ok || err != nil || !resp.Created:
		if err == nil {
			err = errors.New("watch ended at once")
		}
		err = because(ctx, err)
		cancel(nil)
		return nil, err
	}
	return &subscription{events, cancel}, nil
}

// follow gives hints until ctx ends.
func (d *Driver) follow(ctx context.Context, dir string, sub *subscription, hints wait.Hint) {
	for sub != nil {
		err := sub.forward(hints)
		sub.cancel(nil)
		if ctx.Err() != nil {
			return
		}
		d.log.WarnContext(ctx, "watch lost", "registry", d.name, "dir", dir, "error", err)
		if sub = d.resubscribe(ctx, dir); sub != nil {
			hints.Give() // for changes that may have been missed
		}
	}
}

// forward gives a hint for every change, until the watch ends.
func (s *subscription) forward(hints wait.Hint) error {
	for resp := range s.events {
		if err := resp.Err(); err != nil {
			return err // compacted, or no leader
		}
		if len(resp.Events) > 0 {
			hints.Give()
		}
	}
	return errors.New("stream ended")
}

// resubscribe retries until it succeeds; it returns nil when ctx ends.
func (d *Driver) resubscribe(ctx context.Context, dir string) *subscription {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		sub, err := d.subscribe(ctx, dir)
		if err == nil {
			return sub
		}
		if wait.For(ctx, pause) != nil {
			return nil
		}
	}
}
