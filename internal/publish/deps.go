package publish

import (
	"context"
	"io"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Registry is the part of the registry that publishing needs.
type Registry interface {
	Leases
	// Releases returns all releases of the app, gone ones included, newest first;
	// nil for an app that does not exist yet.
	Releases(ctx context.Context, app holdfast.AppName) ([]registry.ReleaseInfo, error)
	// AddRelease binds the record in one compare-and-set that also checks the lease.
	// check sees the state at that compare-and-set, and may run more than once.
	AddRelease(ctx context.Context, lease registry.PublishLease, r holdfast.Release,
		check func(ctx context.Context, s registry.Standing) (clashes []string, err error)) (holdfast.Release, registry.AddOutcome, error)
	// ReplaceInventory replaces before with r.Inventory, for a release that is not gone
	// and whose bytes had to be stored again under other names. check sees the state of
	// cleaning at that compare-and-set.
	ReplaceInventory(ctx context.Context, lease registry.PublishLease, r holdfast.Release, before holdfast.Digest,
		check func(ctx context.Context, s registry.Sweep) error) (holdfast.Release, error)
	// Sweep returns the state of cleaning, which says how new objects are named.
	Sweep(ctx context.Context) (registry.Sweep, error)
}

// Leases are taken while a build is stored.
type Leases interface {
	// BeginPublish acquires the lease that makes the manifest a root.
	BeginPublish(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, create bool) (registry.PublishLease, error)
	// BeginCopy is BeginPublish for the one of several publishers of a build that
	// stores it; the others get a *registry.CopyingError, and wait with AwaitCopier.
	BeginCopy(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, create bool, by string) (registry.PublishLease, error)
	AwaitCopier(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, patience time.Duration, tell func(registry.Copier)) error
}

// Store is the part of the store that publishing needs. Puts are durable, verify their
// input, never replace, and do nothing for existing objects.
type Store interface {
	Texts
	PutObject(ctx context.Context, name holdfast.ObjectName, size int64, r io.Reader) (created bool, err error)
	// HasObject reports whether the object exists; with another size it is ErrCorrupt.
	HasObject(ctx context.Context, name holdfast.ObjectName, size int64) (bool, error)
}

// Texts are the items of a store besides objects.
type Texts interface {
	PutInventory(ctx context.Context, inv *holdfast.Inventory) error
	PutManifest(ctx context.Context, m *holdfast.Manifest) error
	Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error)
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
	Lists
}

// Lists are texts that name what belongs together.
type Lists interface {
	Condemned(ctx context.Context, d holdfast.Digest) (*holdfast.Condemned, error)
	// Pages returns the list of pinned variants that is the object o of an inventory.
	Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error)
}

// Encoder makes verified encoded forms; see coding.Encoder.
type Encoder interface {
	Encode(c holdfast.Coding, identity []byte) ([]byte, error)
}

// Deps are the dependencies of Publish. They may be used concurrently.
type Deps struct {
	Store    Store
	Registry Registry
	Encoder  Encoder      // nil: one of Options.Effort is made
	Logger   *slog.Logger // nil: discards
}
