package asset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/urls"
)

const (
	// joinTimeout bounds how long Join waits to be ready, and ownTimeout with a build,
	// which must be warm: a node gives that 30 s.
	joinTimeout = 15 * time.Second
	ownTimeout  = 45 * time.Second
	// callTimeout bounds calls to registry and store beside requests.
	callTimeout = 10 * time.Second
	renewRetry  = time.Second
	// peersDrain is how long answers to other nodes may take when the program leaves. If
	// cut off, they ask another node.
	peersDrain = 5 * time.Second
	// readyPoll is how often Join looks whether the program is ready.
	readyPoll = 10 * time.Millisecond
)

// joined serves the releases of a cluster, as a node of it.
type joined struct {
	member
	ownID  holdfast.ReleaseID // of the build that the program brings; zero without
	origin *assembly.Backends
	node   *assembly.Node
	server *serve.Handler

	view  atomic.Pointer[Release]
	shown viewed // the source of view; used by follow only

	stop  context.CancelFunc
	ended chan error    // receives the result of the node's Run
	idle  chan struct{} // closed when follow has ended
}

var _ site = (*joined)(nil)

// viewed is the input of a view.
type viewed struct {
	id       holdfast.ReleaseID
	manifest holdfast.Digest
	settings []holdfast.Setting
}

func (v viewed) same(o viewed) bool {
	return v.id == o.id && v.manifest == o.manifest && slices.Equal(v.settings, o.settings)
}

// Join makes the program a node of a cluster: it serves all releases of the cluster, from
// the shared store or from other nodes' stores; it is listed among the nodes, activations
// wait for it, and its requests count when releases are retired. The helpers return URLs
// of Cluster.Build if there is one, else of Options.Release, else of the side's live
// release. It picks up activations automatically.
//
// Mount, settings and the other Options of the build come from the registry: setting them
// is an error. ctx bounds only the joining: Close ends the membership, and removes the
// program from the list of nodes.
//
// Join returns when the program is ready: with a build, when that is in a store, the
// program is registered as an owner, and its files are local. Without one it does not
// wait longer than 15 s; Assets.Ready then says what is missing. Without a build, a
// registry without releases is an error; an app without a live release is not, but then
// Release returns one. While the registry is unreachable, a program starts from DataDir,
// if that shows that its build is known.
func Join(ctx context.Context, where Cluster, o Options) (*Assets, error) {
	m, err := where.check(o)
	if err != nil {
		return nil, fmt.Errorf("join cluster: %w", err)
	}
	j := &joined{member: m, ended: make(chan error, 1), idle: make(chan struct{})}
	if err := j.join(ctx); err != nil {
		return nil, fmt.Errorf("join cluster: %w", errors.Join(err, j.Close()))
	}
	return newAssets(j), nil
}

func (j *joined) join(ctx context.Context) (err error) {
	kept := j.DataDir != "" && node.Kept(assembly.DataDir(j.DataDir).State()) != nil
	if j.origin, err = j.openOrigin(ctx, kept); err != nil {
		return err
	}
	if err := j.bring(ctx); err != nil {
		return err
	}
	if err := j.open(ctx); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	j.stop = stop
	go func() { j.ended <- j.node.Run(background) }()
	go j.follow(background)
	return j.await(ctx)
}

// bring registers the program's build.
func (j *joined) bring(ctx context.Context) (err error) {
	if j.own == nil {
		return nil
	}
	j.ownID, _, err = j.own.Enter(ctx, j.origin)
	if errors.Is(err, registry.ErrPublished) {
		err = fmt.Errorf("%w; name another one in Options.App", err)
	}
	if err != nil && j.origin.OpenedStore == nil {
		err = fmt.Errorf("bring build: %w", err)
	}
	return err
}

// open creates the node and its handlers.
func (j *joined) open(ctx context.Context) (err error) {
	j.node, err = assembly.Open(ctx, j.assembled())
	if err != nil {
		return err
	}
	j.server = serve.NewHandler(j.node, j.node.Blobs, serve.Options{Deltas: j.node.Deltas, Logger: j.log})
	return nil
}

// assembled converts the options to a node's configuration.
func (j *joined) assembled() assembly.Config {
	data := assembly.DataDir(j.DataDir)
	c := assembly.Config{
		Node: node.Config{
			Name: j.Name, Address: j.Address, Host: j.Host, Version: version(), Side: j.side, Logger: j.log,
			Poll: j.Poll, Drain: peersDrain, StateDir: data.State(),
		},
		Backends: j.origin, Memory: j.Memory, Spool: data.Spool(), Cache: data.Objects(), CacheBytes: j.CacheBytes,
		DeltaMemory: cmp.Or(j.DeltaBytes, assembly.DeltaMemory), LocalStore: j.place, Peering: j.peering,
	}
	if j.own != nil {
		c.Node.Own = map[holdfast.AppName]holdfast.ReleaseID{j.app: j.ownID}
	}
	if j.place != nil {
		c.Copies, c.CopyRate = max(cmp.Or(j.Peers.Copies, assembly.Copies), 0), j.Peers.CopyRate
		// If nodes share no store, there is nothing to sweep or verify, and only policy
		// remains. A program runs no hooks: while an app names any, it leaves the lead to
		// holdfast serve.
		c.Lead = &assembly.Lead{If: hookless, Chores: []node.Chore{c.Prune(pruneEvery)}}
	}
	return c
}

// await waits until the program is ready, or, without a build, can answer at all.
func (j *joined) await(ctx context.Context) error {
	limit := joinTimeout
	if j.own != nil {
		limit = ownTimeout
	}
	late := time.NewTimer(limit)
	defer late.Stop()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		err := j.status().Err()
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		case <-late.C:
			if j.own == nil && j.node.Table() != nil {
				return nil
			}
			return err
		}
	}
}

// follow keeps the view up to date until ctx ends. Until a new one is made, pages
// refer to the release before, which is still served.
func (j *joined) follow(ctx context.Context) {
	defer close(j.idle)
	var again <-chan time.Time
	told := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.node.Changed():
		case <-again:
		}
		again = nil
		err := j.renew(ctx)
		if err == nil || ctx.Err() != nil {
			told = ""
			continue
		}
		if text := err.Error(); text != told {
			told = text
			j.log.Warn("pages still refer to the release before", "app", j.app.String(), "error", err)
		}
		again = time.After(renewRetry)
	}
}

// wanted returns the release that pages should refer to, nil if there is none or its
// files are not known yet, and the app.
func (j *joined) wanted() (*live.App, *live.Release) {
	table := j.node.Table()
	if table == nil {
		return nil, nil
	}
	i := slices.IndexFunc(table.Apps(), func(a *live.App) bool { return a.Name == j.app })
	if i < 0 {
		return nil, nil
	}
	app := table.Apps()[i]
	release := app.Live() // the program's own, if it brings one
	if !j.id.IsZero() {
		release, _ = app.Release(j.id.String())
	}
	if release == nil || !release.Loaded() {
		return app, nil
	}
	return app, release
}

// renew replaces the view if pages should refer to another release.
func (j *joined) renew(ctx context.Context) error {
	app, release := j.wanted()
	if release == nil {
		return nil // Release says so
	}
	now := viewed{release.ID, j.manifestOf(release.ID), app.Settings.List()}
	if j.view.Load() != nil && now.same(j.shown) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := j.node.Manifests().Manifest(ctx, now.manifest)
	if err != nil {
		return fmt.Errorf("read manifest of release %s: %w", release.ID, err)
	}
	read := func(path string) ([]byte, error) { return j.read(release, path) }
	if release.ID == j.ownID {
		read = func(path string) ([]byte, error) { return readAll(publish.FS(j.Build), path) }
	}
	view, err := newRelease(release.ID, urls.New(j.links, release.ID, &app.Settings, m), true, j.EarlyHints, read)
	if err != nil {
		return err
	}
	j.view.Store(view)
	j.shown = now
	return nil
}

// manifestOf returns the digest of a release's manifest, as of the current table.
func (j *joined) manifestOf(id holdfast.ReleaseID) (d holdfast.Digest) {
	for _, app := range j.node.Snapshot().Apps {
		for i := range app.Releases {
			if app.Name == j.app && app.Releases[i].ID == id {
				d = app.Releases[i].Manifest
			}
		}
	}
	return d
}

// read returns the bytes of a file of a release.
func (j *joined) read(r *live.Release, path string) ([]byte, error) {
	e, ok := r.Lookup(path)
	if !ok || e.TakenDown() {
		return nil, fmt.Errorf("read %s of release %s: %w", path, r.ID, holdfast.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	content, err := j.node.Blobs.Open(ctx, blob.Ref{Name: e.Identity().Name, Size: e.Size})
	if err != nil {
		return nil, fmt.Errorf("read %s of release %s: %w", path, r.ID, err)
	}
	return blob.ReadAll(content)
}

func (j *joined) release() (*Release, error) {
	switch r := j.view.Load(); {
	case r != nil:
		return r, nil
	case !j.id.IsZero():
		return nil, fmt.Errorf("%w: app %s has no servable release %s", holdfast.ErrNotFound, j.app, j.id)
	case j.own != nil:
		return nil, fmt.Errorf("%w: release %s, which this program brings, is not loaded yet", holdfast.ErrUnavailable, j.ownID)
	}
	return nil, fmt.Errorf("%w: app %s has no live release on this side; holdfast activate makes one live", holdfast.ErrNotFound, j.app)
}

func (j *joined) handler(next http.Handler) http.Handler {
	if next == nil {
		return j.server
	}
	return j.server.Before(next)
}

// status is that of the node, which knows nothing of pages.
func (j *joined) status() Status {
	n := j.node.Status()
	s := Status{Ready: n.Ready, Reason: n.Reason, Revision: n.Revision, Stale: n.Stale, Since: n.Since, Registry: n.Registry, Copies: j.copies()}
	if !s.Ready {
		return s
	}
	if _, release := j.wanted(); release != nil && j.view.Load() == nil {
		s.Reason = "what pages need of release " + release.ID.String() + " is being read"
	} else if j.own != nil && !j.node.Warm(j.app, j.ownID) {
		s.Reason = "release " + j.ownID.String() + ", which this program brings, is being fetched"
	}
	s.Ready = s.Reason == ""
	return s
}

func (j *joined) Close() error {
	var errs []error
	if j.node != nil { // and runs
		j.stop()
		errs = append(errs, <-j.ended)
		<-j.idle
		errs = append(errs, j.node.Close())
	}
	if j.origin != nil {
		errs = append(errs, j.origin.Close())
	}
	return errors.Join(errs...)
}
