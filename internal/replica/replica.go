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
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// Floor is how long recently stored or needed items are kept.
	Floor = 15 * time.Minute
	// lookEvery is the interval between checks of the nodes without a hint: nodes
	// unrelated to a release come and go without changing it.
	lookEvery = 30 * time.Second
	// lookLeast is the minimum interval between two checks.
	lookLeast = time.Second
	// recheck is the interval between checks that all of a copy still exists. Over a
	// week, these also read all of it.
	recheck = time.Hour
	// tellEvery is how often the node's entry reports the progress of a copy.
	tellEvery = 5 * time.Second
	// call bounds a read of the registry.
	call = 10 * time.Second
	// parallel bounds the objects that a node copies at a time.
	parallel = 4
	// askMost bounds the nodes that are asked for an object in one attempt.
	askMost = 16
)

// LeastRate is the lowest rate of copying, in bytes a second: below it, a copy takes
// longer than nodes wait for each other.
const LeastRate = 1 << 20

// Registry is the part of the registry that copying needs. Both reads are linearizable.
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
	// First returns the peers to ask for ref: those at the addresses, in order, then all
	// others. A failing peer is skipped for a while.
	First(ref blob.Ref, addresses []string) []blob.Peer
}

// Config of a Copier. All but the last group are required.
type Config struct {
	Copies int   // copies of each release, besides its owners; 0: this node copies nothing
	Rate   int64 // bytes a second of all copies together; 0: no limit
	// Store opens the node's own store. Items that this node does not need are deleted
	// from it.
	Store func(context.Context) (*store.Store, error)
	// Lock keeps other processes from storing anything there until it is unlocked. It
	// does not wait for them: holdfast.ErrConflict.
	Lock   func() (unlock func() error, err error)
	Logger *slog.Logger

	// Of the node. Peers may be nil.
	Name, Peer string // according to its entry
	Registry   Registry
	Snapshot   func() *registry.Snapshot // as the node knows it; nil before it knows any
	Texts      Texts
	Peers      Peers
	Changed    func() // Copies has changed; it must not block

	Floor time.Duration    // for tests; the constant, if 0
	Clock func() time.Time // time.Now, if nil
}

// Copier copies for one node.
type Copier struct {
	Config
	pace  *ratelimit.Limit
	hints wait.Hint

	// Used only by Run's goroutine.
	looked  time.Time // when the last survey began
	cleaned time.Time
	told    string        // the last logged failure
	awaits  bool          // other nodes should copy this node's build, and have not
	soon    time.Duration // how long it last waited for them

	mu     sync.Mutex
	copies map[releaseKey]*copying
	saidAt time.Time // when Changed was last called for progress
}

type releaseKey struct {
	app     holdfast.AppName
	release holdfast.ReleaseID
}

// copying is the node's state of a release. Fields that are not marked as Run's are
// guarded by Copier.mu.
type copying struct {
	inventory holdfast.Digest
	complete  bool
	total     int64     // bytes of all objects
	left      int64     // of these, bytes still missing
	wanted    bool      // here
	held, due int       // nodes that have all of it, and how many should
	refused   time.Time // when the node last reported repeated store failures; zero: it does not
	forsaken  bool      // the node no longer claims to have it

	// Used only by Run's goroutine.
	missing  []holdfast.Object
	looked   time.Time // when the local parts were last checked; zero: never
	spare    time.Time // since when it is not needed here; zero: it is
	fails    int       // in a row
	next     time.Time // time of the next try
	told     []string  // the logged causes
	strikes  int       // store failures since the copy was complete, or since it was refused
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
	return &Copier{Config: c, pace: ratelimit.New(c.Rate), hints: wait.NewHint(), copies: make(map[releaseKey]*copying), cleaned: c.Clock()}
}

// Hint signals a possible change.
func (c *Copier) Hint() {
	c.hints.Give()
}

// Says returns the content for the node's entry.
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

// Progress is the progress of copying.
type Progress struct {
	Held, Wanted int   // nodes that have all of a release, and how many should
	Left         int64 // known bytes that this node still has to copy, of all releases
}

// Progress returns the progress for a release, as of the last survey.
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

// tell logs a failure if it differs from the last.
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

// overdue reports whether the next survey is due: interrupting the current work then
// loses little.
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

// round does the pending work once, and returns the latest time of the next round.
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
			err = nil // another process is storing; again soon
		} else {
			c.cleaned = now
		}
	}
	return min(c.copy(ctx, s, wanted, c.overdue), c.awaited()), err
}

// awaited returns when to check whether others have copied this node's build: soon after
// a change, and less and less often, for nodes that cannot.
func (c *Copier) awaited() time.Duration {
	if !c.awaits {
		c.soon = 0
		return lookEvery
	}
	c.soon = min(max(2*c.soon, lookLeast), lookEvery)
	return c.soon
}

// view is the state of the registry.
type view struct {
	snap  *registry.Snapshot
	nodes []registry.NodeInfo
}

// read reads it, the entries last: their claims about a release hold for its current form
// only if they name its inventory. A registry older than the node's knowledge is an
// error: it lacks releases that the node serves.
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

// takedowns are the takedowns known to the node.
func (c *Copier) takedowns() *holdfast.Takedowns {
	if snap := c.Snapshot(); snap != nil {
		return snap.Takedowns
	}
	return nil
}
