// Package node runs a node: it keeps the table, registers itself, listens,
// serves, and leaves in good order.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Registry is what a node needs of the registry.
type Registry interface {
	live.Registry
	RegisterNode(ctx context.Context, info registry.NodeInfo, ttl time.Duration) (*registry.NodeEntry, error)
}

// Config says what a node serves, where and how. Registry, Manifests, Blobs,
// Side, Listen and Logger are required; other zero values mean the defaults named.
type Config struct {
	Registry  Registry
	Manifests live.Manifests
	Blobs     serve.Blobs
	Logger    *slog.Logger

	Name    string        // in the registry; the host name
	Version string        // of the program
	Side    holdfast.Side // whose live releases answer plain paths and documents

	Listen string // host:port of the sites
	Admin  string // host:port of /healthz and /readyz; "" for none
	// CertFile and KeyFile, PEM, switch to TLS with HTTP/1.1 and HTTP/2. Without
	// them the node speaks HTTP/1.1 and HTTP/2 in cleartext. Changed files are
	// taken up within a minute.
	CertFile, KeyFile string

	DebugHeaders bool          // who answered, and from where
	AccessLog    *AccessLog    // nil for none
	Poll         time.Duration // of the registry, on top of its hints (5 s)
	Drain        time.Duration // for requests in flight at the end (20 s)
	TTL          time.Duration // after which a node that vanished is forgotten (10 s)
}

// Node is a running or about to be running node.
type Node struct {
	config   Config
	keeper   *live.Keeper
	site     net.Listener
	admin    net.Listener
	certs    *certificates
	started  time.Time
	draining atomic.Bool
	swapped  chan struct{} // at most one hint that there is a new table
}

// Listen checks the configuration and opens the listeners; Run serves on them.
// It fails with an error that names the address or the file that is to blame.
func Listen(ctx context.Context, c Config) (*Node, error) {
	c = withDefaults(c)
	n := &Node{config: c, started: time.Now().UTC(), swapped: make(chan struct{}, 1)}
	n.keeper = live.NewKeeper(c.Registry, c.Manifests, live.Options{
		Side: c.Side, Logger: c.Logger, Poll: c.Poll, OnSwap: n.onSwap,
	})
	if c.CertFile != "" || c.KeyFile != "" {
		certs, err := loadCertificates(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, err
		}
		n.certs = certs
	}
	var lc net.ListenConfig
	var err error
	if n.site, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listen for sites: %w", err)
	}
	if c.Admin == "" {
		return n, nil
	}
	if n.admin, err = lc.Listen(ctx, "tcp", c.Admin); err != nil {
		return nil, errors.Join(fmt.Errorf("listen for admin: %w", err), n.site.Close())
	}
	return n, nil
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
	if c.Drain == 0 {
		c.Drain = 20 * time.Second
	}
	return c
}

// Addr returns the address that the sites are served on.
func (n *Node) Addr() net.Addr { return n.site.Addr() }

// AdminAddr returns the address of the admin listener, or nil without one.
func (n *Node) AdminAddr() net.Addr {
	if n.admin == nil {
		return nil
	}
	return n.admin.Addr()
}

// Table returns the current table, or nil before the first.
func (n *Node) Table() *live.Table { return n.keeper.Table() }

// Run serves until ctx ends. Then it says that it is not ready any more, stops
// accepting, and waits for the requests in flight, at most Config.Drain.
func (n *Node) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	tasks, failing := errgroup.WithContext(background)
	tasks.Go(func() error { return n.keeper.Run(failing) })
	tasks.Go(func() error { return n.follow(failing) })
	if n.config.AccessLog != nil {
		tasks.Go(func() error { return n.config.AccessLog.Run(failing) })
	}

	site := n.server(failing, n.handler())
	servers := []*http.Server{site}
	tasks.Go(func() error { return closedIsFine(n.serveSite(site)) })
	if n.admin != nil {
		control := n.server(failing, admin.Handler(n.status))
		servers = append(servers, control)
		tasks.Go(func() error { return closedIsFine(control.Serve(n.admin)) })
	}

	select {
	case <-ctx.Done():
	case <-failing.Done():
	}
	n.draining.Store(true)
	err := n.shutdown(servers)
	stop()
	return errors.Join(tasks.Wait(), err)
}

// shutdown lets the requests in flight finish, the admin listener's last.
func (n *Node) shutdown(servers []*http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Drain)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			n.config.Logger.Warn("requests cut off at shutdown", "after", n.config.Drain)
			_ = s.Close() // the connections are being given up
		}
	}
	return nil
}

func closedIsFine(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (n *Node) handler() http.Handler {
	o := serve.Options{Logger: n.config.Logger}
	if n.config.DebugHeaders {
		o.Node = n.config.Name
	}
	if n.config.AccessLog != nil {
		o.Access = n.config.AccessLog.write
	}
	return serve.NewHandler(n.keeper, n.config.Blobs, o)
}

func (n *Node) status() admin.Status {
	t := n.keeper.Table()
	switch {
	case n.draining.Load():
		return admin.Status{Reason: "draining"}
	case t == nil:
		return admin.Status{Reason: "the registry has not been read yet"}
	}
	for _, app := range t.Apps() {
		if app.Incomplete() {
			return admin.Status{Reason: "a release of app " + app.Name.String() + " is being loaded"}
		}
	}
	return admin.Status{Ready: true, Revision: t.Revision}
}

func (n *Node) onSwap(t *live.Table) {
	n.config.Logger.Info("table swapped", "revision", t.Revision, "live", liveOf(t))
	select {
	case n.swapped <- struct{}{}:
	default:
	}
}

func liveOf(t *live.Table) map[string]string {
	m := make(map[string]string, len(t.Apps()))
	for _, a := range t.Apps() {
		if r := a.Live(); r != nil {
			m[a.Name.String()] = r.ID.String()
		}
	}
	return m
}
