package asset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/link"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Registry says where a cluster's registry is. Packages asset/zookeeper,
// asset/etcd and asset/local have them; a program links those that it names.
type Registry interface {
	OpenRegistry(ctx context.Context, log *slog.Logger) (kv.Driver, error)
}

// Store says where a cluster's store is. Packages asset/s3 and asset/local have
// them.
type Store interface {
	OpenStore(ctx context.Context, log *slog.Logger) (store.Driver, error)
}

// Cluster is what Join joins. Registry and Store are required.
type Cluster struct {
	Registry Registry
	Store    Store
	// Side is that of this program, "main" by default.
	Side string
	// CacheDir is a directory on a local disk, for this program alone, that keeps
	// what was fetched from the store across restarts; "" for none.
	CacheDir string
	// Poll is how often the registry is read without being told to; 5 s by default.
	Poll time.Duration
}

// Deadlines of calls to registry and store beside requests.
const (
	openTimeout = 15 * time.Second
	callTimeout = 10 * time.Second
	renewRetry  = time.Second
)

// cluster serves what is published in a cluster, as a node does.
type cluster struct {
	config
	name   string // of the release whose URLs are given; "" for the live one
	keeper *live.Keeper
	store  *store.Store
	bytes  *blob.Source
	server *serve.Handler

	view    atomic.Pointer[Release]
	shown   viewed        // what view was made from; of follow alone, after Join
	swapped chan struct{} // at most one hint

	stop    context.CancelFunc
	tasks   sync.WaitGroup
	closers []io.Closer // in the order of opening
}

var _ site = (*cluster)(nil)

// viewed is what a view depends on.
type viewed struct {
	id       holdfast.ReleaseID
	manifest holdfast.Digest
	settings []holdfast.Setting
}

func (v viewed) same(o viewed) bool {
	return v.id == o.id && v.manifest == o.manifest && slices.Equal(v.settings, o.settings)
}

// Join returns the assets of an app that is published in a cluster: all its
// releases are served, from the shared store, as by the nodes of the cluster; the
// helpers give URLs of the release that is live on the side, or of
// Options.Release. What becomes live is taken up as it does.
//
// Mount, settings and the rest of what Options say of the build come from the
// registry: it is an error to set them. ctx bounds the joining, not what follows:
// Close ends that. A registry in which nothing is published is an error; an app of
// which nothing is live yet is not, but then Release says so.
func Join(ctx context.Context, where Cluster, o Options) (*Assets, error) {
	c, err := join(ctx, where, o)
	if err != nil {
		return nil, fmt.Errorf("join cluster: %w", err)
	}
	return newAssets(c), nil
}

func join(ctx context.Context, where Cluster, o Options) (*cluster, error) {
	config, side, err := where.check(o)
	if err != nil {
		return nil, err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &cluster{config: config, name: o.Release, swapped: make(chan struct{}, 1), stop: stop}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	reg, err := c.open(ctx, where)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	first := make(chan struct{})
	var once sync.Once
	c.keeper = live.NewKeeper(reg, c.store, live.Options{
		Side: side, Logger: c.log, Poll: where.Poll,
		OnSwap: func(*live.Table) { once.Do(func() { close(first) }); c.hint() },
	})
	c.server = serve.NewHandler(c.keeper, c.bytes, serve.Options{Logger: c.log})
	c.tasks.Go(func() { _ = c.keeper.Run(background) }) // it ends with its context only
	select {
	case <-first:
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("read registry: %w: %w", holdfast.ErrUnavailable, context.Cause(ctx)), c.Close())
	}
	if err := c.renew(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.tasks.Go(func() { c.follow(background) })
	return c, nil
}

// check refuses options that would be ignored.
func (where Cluster) check(o Options) (c config, side holdfast.Side, err error) {
	switch {
	case where.Registry == nil || where.Store == nil:
		return c, side, fmt.Errorf("%w: Cluster needs a Registry and a Store", holdfast.ErrInvalid)
	case o.Mount != "" || o.SPA || len(o.Settings) > 0 || o.Encoder != nil || o.Dev:
		return c, side, fmt.Errorf("%w: Mount, SPA, Settings, Encoder and Dev are of builds that a program has itself; those of an app are in the registry (holdfast app set)", holdfast.ErrInvalid)
	}
	if side = holdfast.DefaultSide(); where.Side != "" {
		if side, err = holdfast.ParseSide(where.Side); err != nil {
			return c, side, err
		}
	}
	c, err = o.check()
	return c, side, err
}

// open opens registry and store, and what fetches from it.
func (c *cluster) open(ctx context.Context, where Cluster) (*registry.Registry, error) {
	driver, err := where.Registry.OpenRegistry(ctx, c.log)
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	c.closes(driver)
	there, err := registry.Exists(ctx, driver)
	if err == nil && !there {
		err = fmt.Errorf("%w: nothing was ever published there; the first holdfast publish makes it", holdfast.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	reg, err := registry.Open(ctx, driver, registry.Options{Logger: c.log})
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	bytes, err := where.Store.OpenStore(ctx, c.log)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	c.closes(bytes)
	c.store = store.New(bytes)
	if err := c.store.Claim(ctx, reg.ID()); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	c.bytes, err = blob.New(c.store, blob.Options{Memory: c.Memory, CacheDir: where.CacheDir, Logger: c.log})
	if err != nil {
		return nil, err
	}
	c.closers = append(c.closers, c.bytes)
	return reg, nil
}

// closes notes that Close closes a driver, if that can be closed.
func (c *cluster) closes(driver any) {
	if closer, ok := driver.(io.Closer); ok {
		c.closers = append(c.closers, closer)
	}
}

func (c *cluster) hint() {
	select {
	case c.swapped <- struct{}{}:
	default:
	}
}

// follow keeps the view up to date until ctx ends. Until a new one is made, pages
// refer to the release before, which is still served.
func (c *cluster) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.swapped:
		}
		call, cancel := context.WithTimeout(ctx, callTimeout)
		err := c.renew(call)
		cancel()
		if err == nil || ctx.Err() != nil {
			continue
		}
		c.log.Warn("pages still refer to the release before", "app", c.app.String(), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(renewRetry):
			c.hint()
		}
	}
}

// renew makes the view of what pages should refer to, if it would be another one.
func (c *cluster) renew(ctx context.Context) error {
	table := c.keeper.Table()
	i := slices.IndexFunc(table.Apps(), func(a *live.App) bool { return a.Name == c.app })
	if i < 0 {
		return nil // Release says so
	}
	app := table.Apps()[i]
	release := app.Live()
	if c.name != "" {
		release, _ = app.Release(c.name)
	}
	if release == nil || !release.Loaded() {
		return nil
	}
	now := viewed{release.ID, c.manifestOf(release.ID), app.Settings.List()}
	if c.view.Load() != nil && now.same(c.shown) {
		return nil
	}
	m, err := c.store.Manifest(ctx, now.manifest)
	if err != nil {
		return fmt.Errorf("read manifest of release %s: %w", release.ID, err)
	}
	read := func(path string) ([]byte, error) { return c.read(release, path) }
	c.view.Store(newRelease(release.ID, link.New(c.links, release.ID, &app.Settings, m), true, c.EarlyHints, read))
	c.shown = now
	return nil
}

// manifestOf returns the digest of a release's manifest, as of the current table.
func (c *cluster) manifestOf(id holdfast.ReleaseID) (d holdfast.Digest) {
	for _, app := range c.keeper.Snapshot().Apps {
		for i := range app.Releases {
			if app.Name == c.app && app.Releases[i].ID == id {
				d = app.Releases[i].Manifest
			}
		}
	}
	return d
}

// read returns the bytes of a file of a release.
func (c *cluster) read(r *live.Release, path string) ([]byte, error) {
	e, ok := r.Lookup(path)
	if !ok {
		return nil, fmt.Errorf("read %s of release %s: %w", path, r.ID, holdfast.ErrNotFound)
	}
	i := slices.IndexFunc(e.Variants, func(v live.Variant) bool { return v.Coding == holdfast.Identity })
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	content, err := c.bytes.Open(ctx, blob.Ref{Name: e.Variants[i].Name, Size: e.Size})
	if err != nil {
		return nil, fmt.Errorf("read %s of release %s: %w", path, r.ID, err)
	}
	text, err := io.ReadAll(io.NewSectionReader(content, 0, e.Size))
	return text, errors.Join(err, content.Close())
}

func (c *cluster) release() (*Release, error) {
	if r := c.view.Load(); r != nil {
		return r, nil
	}
	if c.name != "" {
		return nil, fmt.Errorf("%w: app %s has no servable release %s", holdfast.ErrNotFound, c.app, c.name)
	}
	return nil, fmt.Errorf("%w: app %s has no live release on this side; holdfast activate makes one live", holdfast.ErrNotFound, c.app)
}

func (c *cluster) handler(next http.Handler) http.Handler {
	if next == nil {
		return c.server
	}
	return c.server.Before(next)
}

func (c *cluster) Close() error {
	c.stop()
	c.tasks.Wait()
	var errs []error
	for _, closer := range slices.Backward(c.closers) {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}
