package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

const (
	// copierPatience is how long a copier may make no progress before a waiting publisher
	// takes over: longer than a slow store needs to make a file durable.
	copierPatience = time.Minute
	// copierBeat is how often a copier reports its progress.
	copierBeat = time.Second
	// copierLog is how often a waiting publisher logs that.
	copierLog = 10 * time.Second
)

// errOvertaken: another publisher added the release after this one looked for it.
var errOvertaken = errors.New("another publisher added the release meanwhile")

// begin leases the manifest. Of several publishers that share a store one gets the lease,
// the others a *registry.CopyingError.
func (p *publication) begin(ctx context.Context) (registry.PublishLease, error) {
	if p.OwnStore {
		return p.Registry.BeginPublish(ctx, p.App, p.build.Manifest.Digest(), p.Create)
	}
	return p.Registry.BeginCopy(ctx, p.App, p.build.Manifest.Digest(), p.Create, p.By)
}

// overtaken reads the registry again, now that no other publisher of the build is at work:
// one may have finished since the first look.
func (p *publication) overtaken(ctx context.Context) error {
	if p.OwnStore || p.own != nil {
		return nil
	}
	if err := p.readRegistry(ctx); err != nil {
		return err
	}
	if err := p.findOwn(); err != nil {
		return err
	}
	if p.own != nil {
		return errOvertaken
	}
	return nil
}

// reportTo reports progress to waiting publishers until stop is called.
func (p *publication) reportTo(ctx context.Context, lease registry.PublishLease) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(copierBeat)
		defer tick.Stop()
		var told registry.CopierProgress
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := p.progress.copier()
			if now == told {
				continue
			}
			// A report that fails costs nothing but that others may take over.
			if err := lease.Report(ctx, now); err == nil {
				told = now
			} else if ctx.Err() == nil {
				p.Logger.DebugContext(ctx, "progress was not reported", "error", err)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// awaitCopier waits for the publisher that stores the same build.
func (p *publication) awaitCopier(ctx context.Context) error {
	var logged time.Time
	return p.Registry.AwaitCopier(ctx, p.App, p.build.Manifest.Digest(), copierPatience, func(c registry.Copier) {
		p.progress.wait(c)
		if time.Since(logged) >= copierLog {
			p.Logger.InfoContext(ctx, "waiting for the publisher of the same build", "app", p.App, "by", c.By, "files", c.Files, "done", c.FilesDone)
			logged = time.Now()
		}
	})
}

// untilLost ends the returned context when the lease ends before release is
// called, which gives the lease up and waits for its watcher.
func untilLost(ctx context.Context, lease registry.PublishLease) (leased context.Context, release func()) {
	leased, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-lease.Done():
			cancel(fmt.Errorf("%w: this machine lost touch with the registry; publish again, what is uploaded already is used", holdfast.ErrLeaseLost))
		case <-leased.Done():
		}
	})
	return leased, func() {
		cancel(nil)
		watcher.Wait()
		// The lease ends by itself when this fails; until then it is only a root.
		_ = lease.Close()
	}
}

// lost replaces the many errors of a context that ended with the lease by one that says
// so.
func lost(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, holdfast.ErrLeaseLost) {
		return cause
	}
	return err
}
