package serve_test

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-web/holdfast/internal/fastpath"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// The fast shell answers as all others do.
func TestFastpathAnswersAlike(t *testing.T) {
	serve.AnswerAlike(t, func(t *testing.T, h *serve.Handler, secure bool) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		standard := &http.Server{Handler: h, Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true}
		standard.Protocols.SetHTTP1(true)
		standard.Protocols.SetHTTP2(true)
		standard.Protocols.SetUnencryptedHTTP2(true)
		c := fastpath.Config{Handler: h, Standard: standard}
		if secure {
			c.TLS = certified(t)
			standard.TLSConfig = c.TLS
		}
		s := fastpath.New(c)
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-served; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		return l.Addr().String()
	})
}

// certified is a TLS configuration with a certificate for tests, and HTTP/2.
func certified(t *testing.T) *tls.Config {
	s := httptest.NewUnstartedServer(nil)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.TLS.Clone()
}
