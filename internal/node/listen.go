package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits of a connection. Large bodies extend the write deadline as they go.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = time.Minute
	headerBytes   = 32 << 10
)

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

func (n *Node) serveSite(s *http.Server) error {
	if n.certs != nil {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: n.certs.get}
	}
	return serveOn(s, n.site)
}

// serveOn serves with TLS if the server has a configuration for it.
func serveOn(s *http.Server, l net.Listener) error {
	if s.TLSConfig == nil {
		return s.Serve(l)
	}
	return s.ServeTLS(l, "", "")
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
