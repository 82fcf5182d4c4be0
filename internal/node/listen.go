package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// fronts are the listeners of a node, each of which may be missing.
type fronts struct {
	site, admin, peers net.Listener
}

// open opens those that the configuration names.
func (f *fronts) open(ctx context.Context, c *Config) (err error) {
	var lc net.ListenConfig
	if c.Listen != "" {
		if f.site, err = lc.Listen(ctx, "tcp", c.Listen); err != nil {
			return fmt.Errorf("listen for sites: %w", err)
		}
	}
	if c.Admin != "" {
		if f.admin, err = lc.Listen(ctx, "tcp", c.Admin); err != nil {
			return fmt.Errorf("listen for admin: %w", err)
		}
	}
	if c.Peering == nil {
		return nil
	}
	if f.peers, err = lc.Listen(ctx, "tcp", c.Peering.Listen); err != nil {
		return fmt.Errorf("listen for peers: %w", err)
	}
	return c.Peering.settle(f.peers.Addr())
}

// close closes those that no server has closed yet.
func (f *fronts) close() error {
	var errs []error
	for _, l := range []net.Listener{f.site, f.admin, f.peers} {
		if l != nil {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Addr returns the address that the sites are served on, or nil if this node does
// not do that.
func (n *Node) Addr() net.Addr { return addressOf(n.site) }

// AdminAddr returns the address of the admin listener, or nil without one.
func (n *Node) AdminAddr() net.Addr { return addressOf(n.admin) }

func addressOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// address is what the registry says of where the node is.
func (n *Node) address() string {
	if n.config.Address == "" && n.site != nil {
		return n.site.Addr().String()
	}
	return n.config.Address
}

// server is one of a node and the socket it answers on.
type server struct {
	*front.Server
	at net.Listener
}

// servers returns those of the listeners that are open, the sites' first. ctx is
// that of their requests.
func (n *Node) servers(ctx context.Context) (all []server) {
	add := func(at net.Listener, c front.ServerConfig) {
		c.Log = n.config.Logger
		all = append(all, server{front.NewServer(ctx, c), at})
	}
	if n.site != nil {
		c := front.ServerConfig{Handler: n.handler()}
		if n.config.Certificates != nil {
			c.TLS = n.config.Certificates.TLS()
		}
		at := n.site
		if n.config.ProxyProtocol != nil {
			at = front.Proxied(at, n.config.ProxyProtocol, n.config.Logger)
		}
		add(at, c)
	}
	if n.admin != nil {
		add(n.admin, front.ServerConfig{Handler: admin.Handler(n.Status)})
	}
	if n.peers != nil {
		add(n.peers, n.peerServer())
	}
	return all
}

// shutdown lets the requests in flight finish, the sites' first.
func (n *Node) shutdown(servers []server) {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Drain)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			n.config.Logger.Warn("requests cut off at shutdown", "after", n.config.Drain)
		}
	}
}

func (n *Node) handler() http.Handler {
	o := serve.Options{Logger: n.config.Logger, Access: n.config.Access}
	if n.config.DebugHeaders {
		o.Node = n.config.Name
	}
	if n.config.Deltas != nil {
		o.Deltas = n.config.Deltas
	}
	return serve.NewHandler(n, n.config.Blobs, o)
}
