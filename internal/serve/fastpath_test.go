package serve_test

import (
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/holdfast-web/holdfast/internal/fastpath"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// The fast shell answers as all others do.
func TestFastpathAnswersAlike(t *testing.T) {
	serve.AnswerAlike(t, func(t *testing.T, h *serve.Handler) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		standard := &http.Server{Handler: h, Protocols: new(http.Protocols), DisableGeneralOptionsHandler: true}
		standard.Protocols.SetHTTP1(true)
		standard.Protocols.SetUnencryptedHTTP2(true)
		s := fastpath.New(fastpath.Config{Handler: h, Standard: standard})
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
