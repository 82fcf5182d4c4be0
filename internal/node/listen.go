package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// Limits of a connection. Large bodies extend the write deadline as they go.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = time.Minute
	headerBytes   = 32 << 10
)

// fronts are the listeners of a node, each of which may be missing.
type fronts struct {
	site, admin, peers net.Listener
	certs              *certificates // of site; nil without TLS
}

// open opens those that the configuration names.
func (f *fronts) open(ctx context.Context, c *Config) (err error) {
	if c.CertFile != "" || c.KeyFile != "" {
		if f.certs, err = loadCertificates(c.CertFile, c.KeyFile, c.Logger); err != nil {
			return err
		}
	}
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

// front is a server and what it answers on.
type front struct {
	*http.Server
	at net.Listener
}

// serve serves with TLS if the server has a configuration for it.
func (f front) serve() error {
	var err error
	if f.TLSConfig == nil {
		err = f.Serve(f.at)
	} else {
		err = f.ServeTLS(f.at, "", "")
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// servers returns those of the listeners that are open, the sites' first. ctx is
// that of their requests.
func (n *Node) servers(ctx context.Context) (all []front) {
	if n.site != nil {
		s := n.server(ctx, n.handler())
		if n.certs != nil {
			s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certs.get}
		}
		all = append(all, front{s, n.site})
	}
	if n.admin != nil {
		all = append(all, front{n.server(ctx, admin.Handler(n.Status)), n.admin})
	}
	if n.peers != nil {
		all = append(all, front{n.peerServer(ctx), n.peers})
	}
	return all
}

// shutdown lets the requests in flight finish, the sites' first.
func (n *Node) shutdown(servers []front) {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Drain)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(ctx); err != nil {
			n.config.Logger.Warn("requests cut off at shutdown", "after", n.config.Drain)
			_ = s.Close() // the connections are being given up
		}
	}
}

func (n *Node) handler() http.Handler {
	o := serve.Options{Logger: n.config.Logger}
	if n.config.DebugHeaders {
		o.Node = n.config.Name
	}
	if n.config.AccessLog != nil {
		o.Access = n.config.AccessLog.write
	}
	if n.config.Deltas != nil {
		o.Deltas = n.config.Deltas
	}
	return serve.NewHandler(n, n.config.Blobs, o)
}

func (n *Node) server(ctx context.Context, h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		MaxHeaderBytes:               headerBytes,
		DisableGeneralOptionsHandler: true,
		BaseContext:                  func(net.Listener) context.Context { return ctx },
		ErrorLog:                     slog.NewLogLogger(n.config.Logger.Handler(), slog.LevelDebug),
	}
}

// certificates holds a certificate and takes up its files when they change.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // modification time of the newer file
	checked time.Time
}

const certificateCheck = 30 * time.Second

func loadCertificates(certFile, keyFile string, log *slog.Logger) (*certificates, error) {
	if certFile == "" || keyFile == "" {
		return nil, fmt.Errorf("TLS needs both a certificate file and a key file; certificate %q, key %q", certFile, keyFile)
	}
	c := &certificates{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *certificates) load() error {
	changed := c.modified()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.changed, c.checked = &pair, changed, time.Now()
	return nil
}

func (c *certificates) modified() (newest time.Time) {
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// get keeps the certificate it has while the files cannot be read: they may be
// in the middle of being replaced.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		c.checked = time.Now()
		if !c.modified().Equal(c.changed) {
			if err := c.load(); err != nil { // tried again at the next check
				c.log.Error("new certificate not taken up; the old one is used", "error", err)
			}
		}
	}
	return c.current, nil
}
