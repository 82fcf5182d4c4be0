// Package replica keeps what nodes brought with them when they share no store: it
// copies each such release, all of it, into the stores of other nodes, and removes from
// a node's own store what is not needed there any more.
//
// All nodes go by the same entries in the registry. Of each release that is live or
// drains, the k nodes that rendezvous hashing of its manifest's digest and the nodes'
// names puts first have a copy, besides those that brought it. A node says of itself in
// its entry what it has, once it is complete and durable. It also says there what its
// store does not take, because it is full or broken: the next node has that instead,
// until the other wants to try again.
//
// What that promises: a release that was copied completely (Standing has as many Holders as Wanted) is lost only
// if all nodes that have it are lost before one of those that take their places has
// copied it. While a node that brought it is registered, these are k+1, so that any k of
// them may die at one time; when it drains, k, so that k-1 may. Deaths that come no
// faster than copies are made lose nothing, however many there are.
//
// A node forgets what others should have instead of it. First it says no longer that it
// has it, for Floor at least, and it does not act before a read of the registry that
// shows this as well as the claims of all who should have it: who is about to forget is
// relied on by nobody, also when those who should have it die at that very moment.
package replica

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/ratelimit"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

const (
	// Floor is for how long nothing is removed that was stored or needed of late.
	Floor = 15 * time.Minute
	// lookEvery is how often a node looks who is there without being told to: who
	// has nothing to do with any release comes and goes without a change of it.
	lookEvery = 30 * time.Second
	// lookLeast is how long it waits between two looks.
	lookLeast = time.Second
	// recheck is how often it is looked whether all of a copy is still there. Within a
	// week of this, all of it is read as well.
	recheck = time.Hour
	// tellEvery is how often the node's entry says how far a copy is.
	tellEvery = 5 * time.Second
	// call bounds a read of the registry.
	call = 10 * time.Second
	// parallel bounds the objects that a node copies at one time.
	parallel = 4
	// askMost bounds the nodes that are asked for an object in one go.
	askMost = 16
)

// LeastRate is the lowest rate of copying, in bytes a second: below it, a copy takes
// longer than nodes wait for each other.
const LeastRate = 1 << 20

// Registry is what copying needs of the registry. Both reads are linearizable.
type Registry interface {
	Refresh(ctx context.Context, prev *registry.Snapshot) (*registry.Snapshot, error)
	Nodes(ctx context.Context) ([]registry.NodeInfo, error)
}

// Texts are the manifests and inventories of all releases, verified.
type Texts interface {
	Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error)
	Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error)
}

// Peers are the other nodes; *peer.Client is one.
type Peers interface {
	// First returns whom to ask for ref: those at the addresses, in this order, then
	// all others. Whoever fails is left out for a while.
	First(ref blob.Ref, addresses []string) []blob.Peer
}

// Config of a Copier. All but the last group are required.
type Config struct {
	Copies int   // on how many nodes each release should be, besides its owners; 0: this node copies nothing
	Rate   int64 // bytes a second of all copies together; 0: no limit
	// Store opens the store, which is the node's own: what this node does not need is
	// removed from it.
	Store func(context.Context) (*store.Store, error)
	// Lock keeps others from storing anything there until it is unlocked. It does not
	// wait for those who do: holdfast.ErrConflict.
	Lock   func() (unlock func() error, err error)
	Logger *slog.Logger

	// Of the node. Peers may be nil.
	Name, Peer string // as its entry says
	Registry   Registry
	Snapshot   func() *registry.Snapshot // as the node knows it; nil before it knows any
	Texts      Texts
	Peers      Peers
	Changed    func() // Copies has something new to say; it must not block

	Floor time.Duration    // of a test; the constant, if 0
	Clock func() time.Time // time.Now, if nil
}

// Copier copies for one node.
type Copier struct {
	Config
	pace  *ratelimit.Limit
	hints chan struct{}

	// Of Run's goroutine alone.
	looked  time.Time // when the last look began
	cleaned time.Time
	told    string        // the last failure that was logged
	awaits  bool          // others are to copy what this node brought, and have not
	soon    time.Duration // how long it last waited for them

	mu     sync.Mutex
	copies map[releaseKey]*copying
	saidAt time.Time // when Changed was last called for progress
}

type releaseKey struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
}

// copying is what the node has of a release. What is not said to be of Run's goroutine
// alone is under Copier.mu.
type copying struct {
	inventory holdfast.Digest
	complete  bool
	total     int64     // bytes of all objects
	left      int64     // of these, bytes to come
	wanted    bool      // here
	held, due int       // nodes that have all of it, and how many should
	refused   time.Time // when the store last failed so often that the node said so; zero: it does not say so
	forsaken  bool      // the node does not say any more that it has it

	// Of Run's goroutine alone.
	missing  []holdfast.Object
	looked   time.Time // when it was last looked what is there; zero: never
	spare    time.Time // since when it is not needed here; zero: it is
	fails    int       // in a row
	next     time.Time // when it is tried again
	told     []string  // the causes that were logged
	strikes  int       // failures of the store since all of it was here, or since it was refused
	refusals int       // in a row
}

// New returns a Copier.
func New(c Config) *Copier {
	if c.Floor == 0 {
		c.Floor = Floor
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Copier{Config: c, pace: ratelimit.New(c.Rate), hints: make(chan struct{}, 1), copies: make(map[releaseKey]*copying), cleaned: c.Clock()}
}

// Hint says that something may have changed.
func (c *Copier) Hint() {
	select {
	case c.hints <- struct{}{}:
	default:
	}
}

// Says returns what the node's entry should say.
func (c *Copier) Says() *registry.Copies {
	c.mu.Lock()
	defer c.mu.Unlock()
	says := &registry.Copies{Wanted: c.Copies}
	for k, s := range c.copies {
		switch {
		case s.complete && !s.forsaken:
			put(&says.Held, k, s.inventory)
		case s.wanted && s.total > 0:
			put(&says.Making, k, registry.Making{Done: s.total - s.left, Total: s.total})
		}
		if !s.complete && !s.refused.IsZero() {
			put(&says.Refused, k, s.inventory)
		}
	}
	return says
}

// Progress is how far copying is.
type Progress struct {
	Held, Wanted int   // nodes that have all of a release, and how many should
	Left         int64 // bytes that this node is to copy of all releases, as far as it knows
}

// Progress returns how far it is with a release, as of the last look.
func (c *Copier) Progress(app holdfast.AppName, id holdfast.ReleaseID) (p Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.copies[releaseKey{app, id}]; s != nil {
		p.Held, p.Wanted = s.held, s.due
	}
	for _, s := range c.copies {
		if s.wanted {
			p.Left += s.left
		}
	}
	return p
}

func put[T any](m *map[holdfast.AppName]map[holdfast.ReleaseID]T, k releaseKey, v T) {
	if *m == nil {
		*m = make(map[holdfast.AppName]map[holdfast.ReleaseID]T)
	}
	if (*m)[k.app] == nil {
		(*m)[k.app] = make(map[holdfast.ReleaseID]T)
	}
	(*m)[k.app][k.release] = v
}

// Run copies and cleans until ctx ends.
func (c *Copier) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, err := c.round(ctx)
		if ctx.Err() == nil {
			c.tell(err)
		}
		c.rest(ctx, wait)
	}
	return nil
}

// tell logs a failure when it is another one than the last.
func (c *Copier) tell(err error) {
	why := ""
	if err != nil {
		why = cause(err)
	}
	if why != "" && why != c.told {
		c.Logger.Warn("copies of what nodes brought are not looked after; trying again", "cause", why, "error", err)
	}
	c.told = why
}

// overdue reports whether it is time to look again: not much of what is going on is
// lost then.
func (c *Copier) overdue() bool {
	age := time.Since(c.looked)
	return age >= lookEvery || age >= lookLeast && len(c.hints) > 0
}

// rest waits for a hint, but at least a moment between two passes, and not for long.
func (c *Copier) rest(ctx context.Context, wait time.Duration) {
	least, most := time.NewTimer(lookLeast-time.Since(c.looked)), time.NewTimer(wait)
	defer least.Stop()
	defer most.Stop()
	select {
	case <-ctx.Done():
		return
	case <-least.C:
	}
	select {
	case <-ctx.Done():
	case <-c.hints:
		c.soon = 0
	case <-most.C:
	}
}

// round does once what there is to do, and returns when to do so again at the latest.
func (c *Copier) round(ctx context.Context) (time.Duration, error) {
	c.looked = time.Now()
	v := view{snap: c.Snapshot()}
	if v.snap == nil {
		return lookEvery, nil
	}
	if slices.ContainsFunc(slices.Collect(v.snap.All()), func(a *registry.AppState) bool { return a.Local }) {
		var err error
		if v.nodes, err = c.nodes(ctx); err != nil {
			return lookEvery, err
		}
	}
	s, err := c.Store(ctx)
	if err != nil {
		return lookEvery, err
	}
	wanted := c.survey(ctx, s, v)
	if now := c.Clock(); now.Sub(c.cleaned) >= c.Floor {
		if err = c.clean(ctx, s); errors.Is(err, holdfast.ErrConflict) {
			err = nil // somebody stores something; again soon
		} else {
			c.cleaned = now
		}
	}
	return min(c.copy(ctx, s, wanted, c.overdue), c.awaited()), err
}

// awaited returns when to look whether others have copied what this node brought: soon
// after something changed, and less and less often, for one that cannot do so.
func (c *Copier) awaited() time.Duration {
	if !c.awaits {
		c.soon = 0
		return lookEvery
	}
	c.soon = min(max(2*c.soon, lookLeast), lookEvery)
	return c.soon
}

// view is what the registry says.
type view struct {
	snap  *registry.Snapshot
	nodes []registry.NodeInfo
}

// read reads it, the entries last: what they claim of a release is true of it as it
// is now only if they name its inventory. A registry that went back behind what the
// node knows is an error: it lacks releases that the node serves.
func (c *Copier) read(ctx context.Context) (v view, err error) {
	refresh, cancel := context.WithTimeout(ctx, call)
	defer cancel()
	if v.snap, err = c.Registry.Refresh(refresh, c.Snapshot()); err != nil {
		return v, err
	}
	v.nodes, err = c.nodes(ctx)
	return v, err
}

func (c *Copier) nodes(ctx context.Context) ([]registry.NodeInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, call)
	defer cancel()
	return c.Registry.Nodes(ctx)
}

// isSelf reports whether an entry is this node's.
func (c *Copier) isSelf(n *registry.NodeInfo) bool { return n.Name == c.Name && n.Peer == c.Peer }

// takedowns are what was taken down, as the node knows it.
func (c *Copier) takedowns() *holdfast.Takedowns {
	if snap := c.Snapshot(); snap != nil {
		return snap.Takedowns
	}
	return nil
}
