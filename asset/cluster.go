package asset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Registry says where a cluster's registry is. Packages asset/zookeeper,
// asset/etcd and asset/local have them; a program links those that it names.
type Registry interface {
	OpenRegistry(ctx context.Context, o Opening) (kv.Driver, error)
}

// Opening says how a registry is opened.
type Opening struct {
	// Create: missing backends may be created. A program with a build may be the first of
	// its cluster.
	Create bool
	Logger *slog.Logger
}

// Store says where a cluster's store is. Packages asset/s3 and asset/local have
// them.
type Store interface {
	OpenStore(ctx context.Context, log *slog.Logger) (store.Driver, error)
}

// Cluster is the argument of Join. Registry is required, and one of Store and Peers.
type Cluster struct {
	Registry Registry
	// Store is shared by all nodes. Without it this program has its own store, in
	// DataDir, and Peers. All nodes of a cluster do the same, including "holdfast serve".
	Store Store
	// Peers has nodes fetch from each other; nil: they do not.
	Peers *Peers
	// Side is that of this program, "main" by default.
	Side string
	// Name is this program's among the nodes of the cluster; that of the host by
	// default. "holdfast status" lists programs of one name one by one, but only their
	// names and addresses tell them apart: name them where several run on a host.
	Name string
	// Address is host:port by which this program is reached. The cluster only shows it.
	Address string
	// Host identifies the machine that this program runs on. Copies of builds and packs go
	// to other hosts than their owner's first. "": programs on one kernel are on one host;
	// name hosts where virtual machines share more than that, such as a rack.
	Host string
	// DataDir is a directory on a local disk, for this program alone, made if need be.
	// It keeps what is needed to start while the registry, the store or both are out
	// of reach: in node the last table with its manifests, in cache what was fetched
	// from the store or other nodes. Without Store, what this program brought lies
	// there, in store, and copies of what others did. "" for none.
	DataDir string
	// CacheBytes bounds the cache in DataDir, 8 GiB by default.
	CacheBytes int64
	// DeltaBytes bounds the memory for deltas, which browsers get that have an earlier
	// release; 32 MiB by default. None are made for apps with the setting deltas=off.
	DeltaBytes int64
	// Poll is how often the registry is read without a hint; 5 s by default.
	Poll time.Duration

	// Build is the build of this program, often an embed.FS below its top directory; nil
	// for none. It becomes a release of Options.App that is live while a program that
	// brought it has joined; afterwards it drains. This program's pages and plain URLs
	// refer to it. Apps whose releases are published accept no builds.
	Build fs.FS
	// Identity says what the ID of that release is derived from: "content" (the default)
	// uses only the build, so that programs with the same one share it; "node" uses the
	// build and Name, "address" the build and Address, or else the address of Peers.
	// Anything else is the ID itself.
	Identity string
	// Create creates the app of Build if it does not exist although others do. The first
	// app needs no Create. Without it a typo in Options.App is an error.
	Create bool
}

// member is a Cluster that was checked, with Options.
type member struct {
	config
	Cluster
	side holdfast.Side
	own  *assembly.LocalBuild // nil if the program has none

	peering *node.Peering        // nil if nodes do not fetch from each other
	place   *assembly.LocalStore // of the program's own store; nil if it shares one
}

// check refuses options that would be ignored.
func (where Cluster) check(o Options) (m member, err error) {
	switch {
	case where.Registry == nil:
		return m, fmt.Errorf("%w: Cluster needs a Registry", holdfast.ErrInvalid)
	case o.Mount != "" || o.SPA || len(o.Settings) > 0 || o.Encoder != nil || o.Dev:
		return m, fmt.Errorf("%w: Mount, SPA, Settings, Encoder and Dev are of builds that a program serves alone; those of an app are in the registry (holdfast app set)", holdfast.ErrInvalid)
	case where.Build != nil && o.Release != "":
		return m, fmt.Errorf("%w: Release and Build exclude each other: pages refer to the Build, and its Identity says what the release is called", holdfast.ErrInvalid)
	case where.Build == nil && where.Create:
		return m, fmt.Errorf("%w: Create makes the app of a Build, and there is none", holdfast.ErrInvalid)
	case where.Build == nil && where.Identity != "":
		return m, fmt.Errorf("%w: Identity is that of a Build, and there is none", holdfast.ErrInvalid)
	case where.DataDir == "" && where.CacheBytes != 0:
		return m, fmt.Errorf("%w: CacheBytes bounds what is kept in DataDir, and there is none", holdfast.ErrInvalid)
	case where.CacheBytes < 0 || where.DeltaBytes < 0 || where.Poll < 0:
		return m, fmt.Errorf("%w: CacheBytes, DeltaBytes and Poll must not be negative", holdfast.ErrInvalid)
	}
	m.Cluster, m.side = where, holdfast.DefaultSide()
	if where.Side != "" {
		if m.side, err = holdfast.ParseSide(where.Side); err != nil {
			return m, err
		}
	}
	if m.Name == "" {
		if m.Name, err = os.Hostname(); err != nil {
			return m, fmt.Errorf("%w: this host has no name, so Cluster needs one: %w", holdfast.ErrInvalid, err)
		}
	}
	if m.config, err = o.check(); err != nil {
		return m, err
	}
	if err := m.checkPeers(); err != nil || m.Build == nil {
		return m, err
	}
	return m, m.checkBuild()
}

func (m *member) checkBuild() error {
	identity, err := assembly.ParseIdentity(cmp.Or(m.Identity, assembly.ContentIdentity))
	if err != nil {
		return err
	}
	address := m.identityAddress()
	if m.Identity == assembly.AddressIdentity {
		if err := assembly.CheckAddress(address); err != nil {
			return fmt.Errorf("identity: %w", err)
		}
	}
	m.own = &assembly.LocalBuild{
		App: m.app, Create: m.Create, Identity: identity, Name: m.Name, Address: address,
		StateDir: assembly.DataDir(m.DataDir).State(), Own: m.place,
		Scan: publish.FS(m.Build).Scan, Logger: m.log,
	}
	return nil
}

// identityAddress is the address that the identity "address" is made of.
func (m *member) identityAddress() string {
	if m.Peers == nil {
		return m.Address
	}
	return cmp.Or(m.Address, m.Peers.Address, m.Peers.Listen)
}

// openOrigin opens registry and store. kept says that DataDir has something to begin from.
func (m *member) openOrigin(ctx context.Context, kept bool) (*assembly.Backends, error) {
	return assembly.OpenBackends(ctx, assembly.Cluster{
		Registry: func(ctx context.Context) (*registry.Registry, io.Closer, error) {
			return m.openRegistry(ctx, m.own != nil && !kept)
		},
		Store: m.openStore,
		Claim: m.claim,
		Kept:  kept,
		Wrong: func(err error) bool {
			return errors.Is(err, holdfast.ErrInvalid) || errors.Is(err, holdfast.ErrNotFound)
		},
		Logger: m.log,
	})
}

func (m *member) openRegistry(ctx context.Context, create bool) (*registry.Registry, io.Closer, error) {
	driver, err := m.Registry.OpenRegistry(ctx, Opening{create, m.log})
	if err != nil {
		return nil, nil, fmt.Errorf("open registry: %w", err)
	}
	there := create
	if !create {
		there, err = registry.Exists(ctx, driver)
	}
	if err == nil && !there {
		err = fmt.Errorf("%w: nothing was ever published there; the first holdfast publish makes it", holdfast.ErrNotFound)
	}
	var r *registry.Registry
	if err == nil {
		r, err = registry.Open(ctx, driver, registry.Options{Logger: m.log})
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open registry: %w", err), closerOf(driver).Close())
	}
	return r, closerOf(driver), nil
}

// openStore opens the store.
func (m *member) openStore(ctx context.Context) (*store.Store, io.Closer, error) {
	open := m.ownStore
	if m.Store != nil {
		open = func(ctx context.Context) (store.Driver, error) { return m.Store.OpenStore(ctx, m.log) }
	}
	driver, err := open(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("open store: %w", err)
	}
	return store.New(driver), closerOf(driver), nil
}

// claim makes sure that registry and store belong to each other.
func (m *member) claim(ctx context.Context, r *registry.Registry, s *store.Store) error {
	claim := assembly.Claim
	if m.Store == nil {
		claim = assembly.ClaimOwn
	}
	if err := claim(ctx, r, s); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	return nil
}

// closerOf returns a driver's Close, which may do nothing.
func closerOf(driver any) io.Closer {
	if closer, ok := driver.(io.Closer); ok {
		return closer
	}
	return io.NopCloser(nil)
}

// version is that of this library in the program, for the cluster to show.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "asset"
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == "github.com/holdfast-web/holdfast" && m.Version != "" && m.Version != "(devel)" {
			return "asset " + m.Version
		}
	}
	return "asset"
}
