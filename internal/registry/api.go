package registry

import (
	"context"
	"errors"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Options of a Registry. The zero value is ready for use.
type Options struct {
	Clock    func() time.Time // of stamps; time.Now if nil
	Logger   *slog.Logger     // discards if nil
	Timeout  time.Duration    // of each call of the driver; 10 s if zero
	LeaseTTL time.Duration    // of publishers' leases; 30 s if zero
}

// ActivateOptions say where a release becomes live, and on which condition.
type ActivateOptions struct {
	Side holdfast.Side // the default side if zero
	// Expect, if not nil, is what must be live there now; the zero ID: nothing.
	Expect *holdfast.ReleaseID
	By     string // who or what asks, for the history
}

// RetireOptions of Retire.
type RetireOptions struct {
	Now bool // also if it is pinned, and the pin is dropped: for leaks
}

// LeaseInfo is a publish that is going on. Its manifest is a root.
type LeaseInfo struct {
	ID       string           `json:"id"`
	App      holdfast.AppName `json:"app"`
	Manifest holdfast.Digest  `json:"manifest"`
	Started  time.Time        `json:"started"`
}

// Registry is one open registry. All methods may be called concurrently.
//
// Errors wrap holdfast.ErrNotFound, ErrExists, ErrConflict, ErrInvalid, ErrGone
// or ErrLeaseLost as their docs say, and holdfast.ErrUnavailable when the driver
// failed. A change that fails with ErrUnavailable may have been made.
type Registry struct{}

// Open opens the registry in d; an empty database gets a random identity.
func Open(ctx context.Context, d kv.Driver, o Options) (*Registry, error) {
	return nil, errors.ErrUnsupported
}

// ID returns the registry's identity.
func (r *Registry) ID() string { return "" }

// Refresh reads what changed since prev, which may be nil. It sees every change
// that was acknowledged before the call. Apps that did not change share their
// *AppState with prev, and if nothing changed it returns prev itself.
func (r *Registry) Refresh(ctx context.Context, prev *Snapshot) (*Snapshot, error) {
	return nil, errors.ErrUnsupported
}

// Reconcile writes the missing history entries of activations that foreign
// clients made by changing version keys and that snap shows. Several nodes may
// do it at once: each change gets one entry.
func (r *Registry) Reconcile(ctx context.Context, snap *Snapshot) error { return errors.ErrUnsupported }

// Watch returns a channel that gets a hint after a change that Refresh would
// show. Hints are coalesced, may be spurious and may be late: watches are no
// substitute for a periodic Refresh. The channel is closed when ctx ends.
func (r *Registry) Watch(ctx context.Context) (<-chan struct{}, error) {
	return nil, errors.ErrUnsupported
}

// App returns the state of one app; ErrNotFound names the apps there are.
func (r *Registry) App(ctx context.Context, app holdfast.AppName) (*AppState, error) {
	return nil, errors.ErrUnsupported
}

// Releases returns all releases of app in all states, the newest publication
// first; nil for an app that does not exist.
func (r *Registry) Releases(ctx context.Context, app holdfast.AppName) ([]ReleaseInfo, error) {
	return nil, errors.ErrUnsupported
}

// Release returns one release, or ErrNotFound.
func (r *Registry) Release(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) (ReleaseInfo, error) {
	return ReleaseInfo{}, errors.ErrUnsupported
}

// History returns the last limit activations of app, newest first; all of them
// if limit is not positive.
func (r *Registry) History(ctx context.Context, app holdfast.AppName, limit int) ([]HistoryEntry, error) {
	return nil, errors.ErrUnsupported
}

// SetApp changes the settings of app and makes the app if it is missing. change
// may be called more than once. validate, which may be nil, sees all apps as
// they are and the settings as they are about to be. Errors: those of the two
// functions, ErrInvalid for a glob, ErrExists for a mount that another app has.
func (r *Registry) SetApp(ctx context.Context, app holdfast.AppName, change func(*holdfast.Settings) error,
	validate func(ctx context.Context, all []*AppState, changed holdfast.Settings) error) (holdfast.Settings, error) {
	return holdfast.Settings{}, errors.ErrUnsupported
}

// CreateApp is SetApp for an app that must not exist: else ErrExists.
func (r *Registry) CreateApp(ctx context.Context, app holdfast.AppName, change func(*holdfast.Settings) error,
	validate func(ctx context.Context, all []*AppState, changed holdfast.Settings) error) (holdfast.Settings, error) {
	return holdfast.Settings{}, errors.ErrUnsupported
}

// BeginPublish makes app with its default settings if it is missing, and leases
// the manifest: until the lease ends it is a root. The caller closes the lease.
func (r *Registry) BeginPublish(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest) (PublishLease, error) {
	return nil, errors.ErrUnsupported
}

// Leases returns the publishes that are going on, by ID.
func (r *Registry) Leases(ctx context.Context) ([]LeaseInfo, error) {
	return nil, errors.ErrUnsupported
}

// AddRelease binds rel.ID to rel.Manifest and sets rel.Published and
// rel.Clashes. lease comes from BeginPublish for the same app and manifest.
//
// check, which may be nil, sees all other releases of the app, newest first,
// whatever their state, and returns the fingerprinted paths that clash; nothing
// was added in between when its answer is committed. It may be called more than
// once, and is not called for an Unchanged release.
//
// Errors: what check returns, ErrExists if the ID is bound to another manifest,
// ErrLeaseLost, ErrInvalid.
func (r *Registry) AddRelease(ctx context.Context, lease PublishLease, rel holdfast.Release,
	check func(ctx context.Context, others []ReleaseInfo) (clashes []string, err error)) (holdfast.Release, AddOutcome, error) {
	return holdfast.Release{}, Added, errors.ErrUnsupported
}

// Activate makes a release live on a side, at most once. changed is false if it
// is live there already; the entry is then that of the activation that made it
// so. A retired release is served again. Errors: ErrNotFound, ErrGone, and
// ErrConflict, naming what is live, if that is not what o.Expect says.
func (r *Registry) Activate(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o ActivateOptions) (entry HistoryEntry, changed bool, err error) {
	return HistoryEntry{}, false, errors.ErrUnsupported
}

// Rollback activates the release that was live on side before the current one,
// leaving out those that are gone, or the release to, if that is not nil; it
// must have been live on the side. ErrNotFound if there is none.
func (r *Registry) Rollback(ctx context.Context, app holdfast.AppName, side holdfast.Side, to *holdfast.ReleaseID, by string) (HistoryEntry, error) {
	return HistoryEntry{}, errors.ErrUnsupported
}

// Pin keeps a release from being retired. ErrNotFound, ErrGone.
func (r *Registry) Pin(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return errors.ErrUnsupported
}

// Unpin undoes Pin. ErrNotFound.
func (r *Registry) Unpin(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return errors.ErrUnsupported
}

// Retire stops serving a release; its bytes stay. ErrConflict if it is live on
// a side, or pinned and not o.Now. ErrNotFound, ErrGone.
func (r *Registry) Retire(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID, o RetireOptions) error {
	return errors.ErrUnsupported
}

// MarkGone makes a retired release a tombstone, before its bytes are swept.
// ErrConflict if it is not retired, ErrNotFound.
func (r *Registry) MarkGone(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) error {
	return errors.ErrUnsupported
}

// NodeEntry is a node's own entry in the registry.
type NodeEntry struct{}

// RegisterNode enters a node; the entry vanishes at most ttl, and a little,
// after the node did. The node gets a new random ID, whatever info.ID says.
func (r *Registry) RegisterNode(ctx context.Context, info NodeInfo, ttl time.Duration) (*NodeEntry, error) {
	return nil, errors.ErrUnsupported
}

// Info returns the entry as it was last written.
func (n *NodeEntry) Info() NodeInfo { return NodeInfo{} }

// Update changes the entry. ErrLeaseLost if it has vanished: register anew.
func (n *NodeEntry) Update(ctx context.Context, change func(*NodeInfo)) error {
	return errors.ErrUnsupported
}

// Done is closed when the entry has vanished or may have.
func (n *NodeEntry) Done() <-chan struct{} { return nil }

// Close removes the entry. It may be called twice.
func (n *NodeEntry) Close() error { return nil }

// Nodes returns the entries of all nodes, by name, then ID.
func (r *Registry) Nodes(ctx context.Context) ([]NodeInfo, error) { return nil, errors.ErrUnsupported }
