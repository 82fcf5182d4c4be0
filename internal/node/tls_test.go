package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/holdtest"
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

func TestProtocols(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	certFile, keyFile, pool := certificate(t, t.TempDir(), "first")
	only := func(choose func(*http.Protocols)) func(*http.Transport) {
		return func(tr *http.Transport) {
			tr.Protocols = new(http.Protocols)
			choose(tr.Protocols)
			tr.TLSClientConfig = &tls.Config{RootCAs: pool}
		}
	}
	for _, test := range []struct {
		name, scheme, proto string
		choose              func(*http.Protocols)
	}{
		{"HTTP/1.1", "http", "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 in cleartext", "http", "HTTP/2.0", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"HTTP/1.1 over TLS", "https", "HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2 over TLS", "https", "HTTP/2.0", func(p *http.Protocols) { p.SetHTTP2(true) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := w.config()
			if test.scheme == "https" {
				var err error
				c.Certificates, err = front.LoadCertificates(certFile, keyFile, c.Logger)
				w.Check(err)
			}
			n, stop := w.start(c)
			holdtest.Eventually(t, "table", func() bool { return n.Table() != nil })
			resp, body := read(t, w.http(only(test.choose)), test.scheme+"://"+n.Addr().String()+"/")
			if body != "one" || resp.Proto != test.proto {
				t.Errorf("%q over %s, want %s", body, resp.Proto, test.proto)
			}
			w.Check(stop())
		})
	}
}
