// Package node runs a node: it maintains the table, registers itself, warms newly live
// releases, and shuts down cleanly. It also listens and serves, or leaves that to the
// program that it is part of.
package node

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/replica"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Registry is the part of the registry that a node needs.
type Registry interface {
	live.Registry
	RegisterNode(ctx context.Context, info registry.NodeInfo, ttl time.Duration) (*registry.NodeEntry, error)
	Campaign(ctx context.Context, info registry.LeaderInfo) (*registry.Leadership, error)
	Nodes(ctx context.Context) ([]registry.NodeInfo, error)
	FollowPreparations(ctx context.Context, tell func([]registry.Preparation)) error
}

// Config says what a node serves, where and how. Registry, Manifests, Side and Logger are
// required; other zero values select the named defaults.
type Config struct {
	Registry  Registry
	Manifests live.Manifests
	Blobs     serve.Blobs
	Logger    *slog.Logger

	// Reach opens the store that Manifests and Blobs read, if that was out of reach
	// when the node was made, and returns nil once it is open. It is called again
	// and again until then; a node that kept nothing is not ready before. Nil for a
	// store that is open.
	Reach func(context.Context) error

	Name    string        // in the registry; the host name
	Address string        // in the registry; that of Listen
	Version string        // of the program
	Side    holdfast.Side // whose live releases answer plain paths and documents

	// Listen is host:port of the sites, with Blobs as the bodies. "" for a program
	// that answers itself: the node is the serve.Tables of its handler.
	Listen string
	Admin  string // host:port of /healthz and /readyz; "" for none
	// ReusePort lets a node that replaces this one listen on the same addresses while
	// this one runs. Both need it.
	ReusePort bool
	// Inherited replaces the addresses.
	Inherited Inherited
	// OpenWithin is when the sites' clients can connect at the latest (10 s): before, they
	// can when the node can answer for all that is live on its side.
	OpenWithin time.Duration
	// Certificates switch to TLS with HTTP/1.1 and HTTP/2. Without them the node speaks
	// HTTP/1.1 and HTTP/2 in cleartext.
	Certificates *front.Certificates
	// ProxyProtocol are the proxies that may connect to Listen, and that report their
	// clients in the PROXY protocol. Nil for clients that connect themselves.
	ProxyProtocol front.Proxies

	// Access is called after each answer to a site's request; nil for none. It must not
	// block.
	Access func(*http.Request, serve.Access)
	// Meter counts answers to the sites' requests, and Metrics shows that on Admin; nil for
	// neither.
	Meter   serve.Meter
	Metrics http.Handler

	// Packs answers /packs on Admin; nil for a node without.
	Packs http.Handler

	// Host identifies the machine that the node runs on, for copies: those on one host are
	// lost together. "": nodes whose clock is the same are on one host.
	Host string

	Standard     bool          // net/http answers all requests of the sites
	DebugHeaders bool          // which node answered, and the origin of the bytes
	Poll         time.Duration // of the registry, on top of its hints (5 s)
	Drain        time.Duration // for requests in flight at the end (20 s)
	Notice       time.Duration // before that, in which only /readyz says no (0)
	TTL          time.Duration // after which a node that vanished is forgotten (10 s)
	Report       time.Duration // how often the entry reports requests (5 min)

	// StateDir is a directory on a local disk, for this node alone, in which it stores
	// its last table with all manifests and inventories. With it, it serves although
	// registry and store are unreachable, even after a restart. "" for none.
	StateDir string
	// AcceptRegistry is the identity of a registry that may replace the one of StateDir.
	// Without it the node keeps serving its stored state.
	AcceptRegistry string
	// Warmer warms newly live releases of the side, for at most WarmFor (30 s), before
	// the node's entry says that it is ready. Nil for none.
	Warmer  Warmer
	WarmFor time.Duration
	// Deltas are sent to browsers that have an earlier version of a file. Nil for none.
	Deltas Deltas
	// Holders keep bytes that this node fetched, and drop taken-down ones.
	Holders []Holder
	// Own are published releases that the node brought with it: it registers as
	// their owner, so that they are live while it is, and answers documents and
	// plain URLs with them.
	Own map[holdfast.AppName]holdfast.ReleaseID
	// Peering makes the node exchange bytes with other nodes. Nil for none.
	Peering *Peering
	// Replica copies nodes' builds between their own stores; the node fills in its part
	// here. Nil for a shared store.
	Replica *replica.Config
	// NoElection keeps the node from leading the cluster.
	NoElection bool
	// MayLead reports whether the node can currently do the cluster's work. One that
	// cannot does not campaign, and gives the leadership up. Nil: it always can.
	MayLead func(*registry.Snapshot) bool
	// Chores and Duties are the elected node's additional work; none without an election.
	Chores []Chore
	Duties []Duty
}

// Node is a running or about to be running node.
type Node struct {
	config Config
	keeper *live.Keeper
	fronts
	// takenDown is the last takedown change that all Holders have applied.
	takenDown atomic.Int64
	started   time.Time
	listening chan struct{} // closed when the sites' clients can connect
	draining  atomic.Bool
	entered   atomic.Bool // into the registry, or that was tried
	leading   atomic.Bool
	copier    *replica.Copier // nil without Config.Replica
	state     *state          // nil without a directory
	last      kept            // the content of state
	warmth    warmth
	ahead     ahead
	usage     usage
	packs     packs
	missing   missing
	newcomer  atomic.Pointer[registry.NodeInfo] // the node's entry, while others may not know its build
	store     reason                            // open
	refused   reason                            // an entry in the registry

	restarted bool // with a table that was kept

	// Hints that there is a new table, one for each subscriber.
	swapped, toKeep, toReconcile, toWarm, toCompare, toPrepare, toForbid, changed wait.Hint
	toDuty                                                                        []wait.Hint // of each duty

	// patientSince is when the first table was there, or later the store.
	patientSince atomic.Pointer[time.Time]
}

// Open checks the configuration and opens the node's own resources, including the
// listeners; Run serves. It fails with an error that names the address or the file to
// blame.
func Open(ctx context.Context, c Config) (*Node, error) {
	c = withDefaults(c)
	n := &Node{
		config: c, started: time.Now().UTC(), listening: make(chan struct{}), warmth: warmth{done: make(map[warmKey]bool)},
		swapped: wait.NewHint(), toKeep: wait.NewHint(), toReconcile: wait.NewHint(), toWarm: wait.NewHint(), toCompare: wait.NewHint(), toPrepare: wait.NewHint(), toForbid: wait.NewHint(), changed: wait.NewHint(),
	}
	if c.Reach != nil {
		n.store.set(errNotTried)
	}
	for range c.Duties {
		n.toDuty = append(n.toDuty, wait.NewHint())
	}
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if n.site == nil {
		close(n.listening) // it has no clients of its own
	}
	n.copier = n.newCopier()
	n.keeper = live.NewKeeper(c.Registry, n.config.Manifests, live.Options{
		Side: c.Side, Own: c.Own, Logger: c.Logger, Poll: c.Poll, OnSwap: n.onSwap, OnFailure: n.swapped.Give,
		Last: n.last.Snapshot, LastRead: n.last.Read, AcceptRegistry: c.AcceptRegistry,
	})
	return n, nil
}

// open opens all that can show that the configuration is wrong.
func (n *Node) open(ctx context.Context) (err error) {
	c := &n.config
	if c.StateDir != "" {
		if n.state, err = openState(c.StateDir, c.Logger); err != nil {
			return err
		}
		n.last = n.state.load()
		n.restarted = n.last.Snapshot != nil
	}
	n.chainManifests()
	return n.fronts.open(ctx, c)
}

// close closes everything that open opened.
func (n *Node) close() error {
	err := n.fronts.close()
	if n.state != nil {
		err = errors.Join(err, n.state.Close())
	}
	return err
}

func withDefaults(c Config) Config {
	if c.Name == "" {
		c.Name, _ = os.Hostname() // an empty name is a name too
	}
	if c.Poll == 0 {
		c.Poll = 5 * time.Second
	}
	if c.TTL == 0 {
		c.TTL = 10 * time.Second
	}
	if c.Report == 0 {
		c.Report = 5 * time.Minute
	}
	if c.Drain == 0 {
		c.Drain = 20 * time.Second
	}
	if c.OpenWithin == 0 {
		c.OpenWithin = 10 * time.Second
	}
	if c.WarmFor == 0 {
		c.WarmFor = 30 * time.Second
	}
	return c
}

// Table returns the current table, or nil before the first.
func (n *Node) Table() *live.Table { return n.keeper.Table() }

// Health says how current the table is.
func (n *Node) Health() live.Health { return n.keeper.Health() }

// Await waits for a read of the registry that began after the call; see live.Keeper.
func (n *Node) Await(ctx context.Context, name string, guess bool) error {
	return n.keeper.Await(ctx, name, guess)
}

// Snapshot returns the source of the current table, or nil.
func (n *Node) Snapshot() *registry.Snapshot { return n.keeper.Snapshot() }

// Manifests returns the node's source of manifests and inventories: its stored ones, the
// store, or its peers.
func (n *Node) Manifests() live.Manifests { return n.config.Manifests }

// Changed returns a channel of hints that there is another table.
func (n *Node) Changed() <-chan struct{} { return n.changed }

// Run serves until ctx ends. Then it says that it is not ready any more, for
// Config.Notice while it still accepts; it stops accepting, and waits for the
// requests in flight, at most Config.Drain.
func (n *Node) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks, failing := errgroup.WithContext(background)
	for _, task := range n.tasks() {
		tasks.Go(func() error { return task(failing) })
	}
	servers := n.servers(failing)
	for _, s := range servers {
		tasks.Go(func() error { return s.run(failing, s) })
	}

	select {
	case <-ctx.Done():
	case <-failing.Done():
	}
	n.leave(failing, servers)
	stop()
	return errors.Join(tasks.Wait(), n.close())
}

// tasks returns the node's tasks besides answering, each until its context ends.
func (n *Node) tasks() []func(context.Context) error {
	all := []func(context.Context) error{n.keeper.Run, n.follow, n.report, n.compare, n.getAhead, n.forbid}
	if n.state != nil {
		all = append(all, n.saveTables)
	}
	if n.config.Warmer != nil {
		all = append(all, n.warm)
	}
	if n.config.Deltas != nil {
		all = append(all, n.config.Deltas.Run, n.prepare)
	}
	if !n.config.NoElection {
		all = append(all, n.lead)
	}
	if n.config.Reach != nil {
		all = append(all, n.reach)
	}
	if n.config.Peering != nil {
		all = append(all, n.meet)
	}
	if n.copier != nil {
		all = append(all, n.copier.Run)
	}
	return all
}
