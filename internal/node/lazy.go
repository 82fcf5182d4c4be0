package node

import (
	"context"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Lazy is a Registry that is opened when first needed, with retries until that succeeds:
// for a node that starts from its stored state while the registry is unreachable.
type Lazy struct {
	open func(context.Context) (Registry, error)
	busy chan struct{} // holds one token; guards everything below
	got  Registry
}

var _ Registry = (*Lazy)(nil)

// NewLazy returns a Registry that open opens. Calls of open do not overlap, and end after
// the first success.
func NewLazy(open func(context.Context) (Registry, error)) *Lazy {
	return &Lazy{open: open, busy: make(chan struct{}, 1)}
}

func (l *Lazy) registry(ctx context.Context) (Registry, error) {
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	case <-ctx.Done():
		return nil, fmt.Errorf("open registry: %w: %w", holdfast.ErrUnavailable, context.Cause(ctx))
	}
	if l.got != nil {
		return l.got, nil
	}
	r, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	l.got = r
	return r, nil
}

// Refresh implements live.Registry.
func (l *Lazy) Refresh(ctx context.Context, prev *registry.Snapshot) (*registry.Snapshot, error) {
	r, err := l.registry(ctx)
	if err != nil {
		return nil, err
	}
	return r.Refresh(ctx, prev)
}

// Watch implements live.Registry.
func (l *Lazy) Watch(ctx context.Context) (<-chan struct{}, error) {
	call, cancel := context.WithTimeout(ctx, registryCall)
	r, err := l.registry(call)
	cancel()
	if err != nil {
		return nil, err
	}
	return r.Watch(ctx)
}

// RegisterNode implements Registry.
func (l *Lazy) RegisterNode(ctx context.Context, info registry.NodeInfo, ttl time.Duration) (*registry.NodeEntry, error) {
	r, err := l.registry(ctx)
	if err != nil {
		return nil, err
	}
	return r.RegisterNode(ctx, info, ttl)
}

// Nodes implements Registry.
func (l *Lazy) Nodes(ctx context.Context) ([]registry.NodeInfo, error) {
	r, err := l.registry(ctx)
	if err != nil {
		return nil, err
	}
	return r.Nodes(ctx)
}

// FollowPreparations implements Registry.
func (l *Lazy) FollowPreparations(ctx context.Context, tell func([]registry.Preparation)) error {
	call, cancel := context.WithTimeout(ctx, registryCall)
	r, err := l.registry(call)
	cancel()
	if err != nil {
		return err
	}
	return r.FollowPreparations(ctx, tell)
}

// Campaign implements Registry.
func (l *Lazy) Campaign(ctx context.Context, info registry.LeaderInfo) (*registry.Leadership, error) {
	call, cancel := context.WithTimeout(ctx, registryCall)
	r, err := l.registry(call)
	cancel()
	if err != nil {
		return nil, err
	}
	return r.Campaign(ctx, info)
}
