package front

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate for 127.0.0.1 and its key.
func certificate(t *testing.T, dir, name string) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return certFile, keyFile, pool
}

func TestCertificateFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile, _ := certificate(t, dir, "first")
	for name, files := range map[string][2]string{
		"no key":       {certFile, ""},
		"missing file": {certFile, filepath.Join(dir, "none.pem")},
		"swapped":      {keyFile, certFile},
	} {
		if _, err := LoadCertificates(files[0], files[1], nil); err == nil || !strings.Contains(err.Error(), files[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}

	c, err := LoadCertificates(certFile, keyFile, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		t.Helper()
		c.checked = time.Time{}
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.Subject.CommonName
	}
	touch := func(at time.Time) {
		t.Helper()
		if err := os.Chtimes(certFile, at, at); err != nil {
			t.Fatal(err)
		}
	}
	certificate(t, dir, "second")
	touch(time.Now().Add(time.Minute))
	if got := name(); got != "second" {
		t.Errorf("after renewal: %s", got)
	}
	if err := os.WriteFile(certFile, []byte("half a cert"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(time.Now().Add(2 * time.Minute))
	if got := name(); got != "second" {
		t.Errorf("with a broken file: %s", got)
	}
	// Immediately on request, regardless of the files' times; a broken file is reported.
	var log bytes.Buffer
	c.log = slog.New(slog.NewTextHandler(&log, nil))
	c.Reload()
	if got := name(); got != "second" || !strings.Contains(log.String(), "the old one stays in use") {
		t.Errorf("reloaded a broken file: %s, %s", got, &log)
	}
	certificate(t, dir, "third")
	touch(c.changed)
	c.Reload()
	if got := name(); got != "third" {
		t.Errorf("reloaded: %s", got)
	}
}
