package front

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificates holds a certificate and follows its files when they change.
type Certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed time.Time // modification time of the newer file
	checked time.Time
}

const certificateCheck = 30 * time.Second

// LoadCertificates reads a certificate chain and its key, PEM files both.
func LoadCertificates(certFile, keyFile string, log *slog.Logger) (*Certificates, error) {
	if certFile == "" || keyFile == "" {
		return nil, fmt.Errorf("TLS needs both a certificate file and a key file; certificate %q, key %q", certFile, keyFile)
	}
	c := &Certificates{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Certificates) load() error {
	c.checked = time.Now()
	changed := c.modified()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.changed = &pair, changed
	return nil
}

func (c *Certificates) modified() (newest time.Time) {
	for _, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}

// Reload reads the files now. If that fails the old certificate stays, and the failure is
// logged.
func (c *Certificates) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.load(); err != nil {
		c.reportFailure(err)
		return
	}
	c.log.Info("certificate loaded", "file", c.certFile, "name", c.current.Leaf.Subject.CommonName, "expires", c.current.Leaf.NotAfter)
}

func (c *Certificates) reportFailure(err error) {
	c.log.Error("new certificate not loaded; the old one stays in use", "error", err)
}

// TLS returns the configuration of a server with the certificate.
func (c *Certificates) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.Get}
}

// Get is a tls.Config.GetCertificate. It keeps the current certificate while the files
// cannot be read: they may be in the middle of being replaced.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		c.checked = time.Now()
		if !c.modified().Equal(c.changed) {
			if err := c.load(); err != nil { // retried at the next check
				c.reportFailure(err)
			}
		}
	}
	return c.current, nil
}
