package assembly

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/delta"
	"github.com/holdfast-web/holdfast/internal/metrics"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// DeltaMemory is the default memory for a node's deltas, in bytes.
const DeltaMemory = 32 << 20

// DataDir is a directory on a local disk that belongs to one node. "" for a node that
// keeps nothing.
type DataDir string

// State is where the node keeps the last table with its manifests.
func (d DataDir) State() string { return d.below("node") }

// Objects is the location of copies of objects from the store or other nodes.
func (d DataDir) Objects() string { return d.below("cache", "objects") }

// Spool is the location of large objects while they are sent.
func (d DataDir) Spool() string { return d.below("cache", "spool") }

func (d DataDir) below(names ...string) string {
	if d == "" {
		return ""
	}
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// Config describes the parts of a node.
type Config struct {
	// Node configures the node's work and addresses. Open fills in its parts: Registry,
	// Manifests, Reach, Blobs, Warmer, Deltas, Holders, Peering, Replica, and what
	// depends on Lead and Metrics.
	Node     node.Config
	Backends *Backends

	Memory      int64 // bytes of files in memory; the default of package blob if 0
	Spool       string
	Cache       string // directory of the disk cache; "" for none
	CacheBytes  int64  // the default of package blob if 0
	DeltaMemory int64  // bytes; 0: the node makes no deltas

	// LocalStore is the store of a node that shares none; nil for a shared one. Copies
	// is on how many other nodes each build should be, CopyRate how many bytes per
	// second this node copies at most, and Floor how long what is condemned is left.
	LocalStore *LocalStore
	Copies     int
	CopyRate   int64
	Floor      time.Duration

	Peering *node.Peering    // nil for a node that asks no others
	Lead    *Lead            // nil for a node that must not lead the cluster
	Metrics *metrics.Metrics // nil for none
	// LinesLost is how many lines of the access log were lost; nil without one.
	LinesLost func() int64
}

// Lead is a node's work while it leads the cluster.
type Lead struct {
	// If reports whether the node can do all that the cluster needs; nil: it can.
	If     func(*registry.Snapshot) bool
	Chores []node.Chore
	Duties []node.Duty
}

// Node is a node with its parts. Close it when it no longer runs.
type Node struct {
	*node.Node
	Blobs  *blob.Source
	Deltas *delta.Maker // nil if none are made
}

// Open makes a node. It listens, but does not serve before Run.
func Open(ctx context.Context, c Config) (_ *Node, err error) {
	log := c.Node.Logger
	o := blob.Options{Memory: c.Memory, SpoolDir: c.Spool, CacheDir: c.Cache, CacheBytes: c.CacheBytes, Logger: log}
	if c.Peering != nil {
		o.Peers = c.Peering.Client
	}
	n := new(Node)
	if n.Blobs, err = blob.New(c.Backends.Bytes, o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Blobs.Close())
		}
	}()
	if c.DeltaMemory > 0 {
		if n.Deltas, err = delta.New(n.Blobs, delta.Options{Memory: c.DeltaMemory, Logger: log}); err != nil {
			return nil, err
		}
	}
	nc := n.config(c, log)
	if n.Node, err = node.Open(ctx, nc); err != nil {
		return nil, err
	}
	if c.Metrics != nil {
		c.Metrics.Collect(n.sources(c.LinesLost))
	}
	return n, nil
}

// config fills in the parts.
func (n *Node) config(c Config, log *slog.Logger) node.Config {
	nc, from := c.Node, c.Backends
	nc.Registry, nc.Manifests, nc.Reach = from.Registry, from.Manifests, from.Reach
	nc.Warmer, nc.Holders = n.Blobs, []node.Holder{n.Blobs}
	if nc.Listen != "" || nc.Inherited.Site != nil {
		nc.Blobs = n.Blobs
	}
	if n.Deltas != nil {
		nc.Deltas, nc.Holders = n.Deltas, append(nc.Holders, n.Deltas)
	}
	if nc.Peering = c.Peering; nc.Peering != nil {
		nc.Peering.Objects = n.Blobs
	}
	if own := c.LocalStore; own != nil {
		nc.Holders = append(nc.Holders, dead{from.Store})
		nc.Replica = own.replica(from.Store, c.Copies, cmp.Or(c.CopyRate, Rate), c.Floor, log)
		if nc.Peering != nil {
			nc.Peering.Objects, nc.Peering.Texts = lent{n.Blobs, from.Store}, texts{from.Store}
		}
	}
	if nc.NoElection = c.Lead == nil; !nc.NoElection {
		nc.MayLead, nc.Chores, nc.Duties = c.Lead.If, c.Lead.Chores, c.Lead.Duties
	}
	if c.Metrics != nil {
		nc.Meter, nc.Metrics = c.Metrics, c.Metrics.Handler(slog.NewLogLogger(log.Handler(), slog.LevelWarn))
	}
	return nc
}

// sources are the origins of metrics.
func (n *Node) sources(lost func() int64) metrics.Sources {
	s := metrics.Sources{
		LinesDropped: lost, Table: n.Table, Health: n.Health, Blobs: n.Blobs.Stats,
		Ready: func() bool { return n.Status().Ready }, Leads: func() bool { return n.Status().Leader },
	}
	if n.Deltas != nil {
		s.Deltas = n.Deltas.Stats
	}
	return s
}

// Close releases the node's resources. The backends stay open.
func (n *Node) Close() error { return n.Blobs.Close() }

// Prune is a leader's chore of retiring releases and deleting unneeded objects. A node
// with its own store leaves deletion to each node.
func (c *Config) Prune(every time.Duration) node.Chore {
	return node.Chore{Name: "prune", Every: every, Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
		s, err := c.Backends.Store(ctx)
		if err != nil {
			return 0, err
		}
		return prune.Turn(ctx, prune.Config{Registry: l.Registry(), Store: s, Logger: c.Node.Logger, Floor: c.Floor}, prune.Options{PolicyOnly: c.LocalStore != nil})
	}}
}
