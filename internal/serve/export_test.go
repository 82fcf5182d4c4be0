package serve

import (
	"net/http"
	"testing"
)

// AnswerAlike is TestAllTransportsAnswerAlike for a shell that start serves a handler
// over, in cleartext or with TLS; it returns the address.
func AnswerAlike(t *testing.T, start func(t *testing.T, h *Handler, secure bool) string) {
	answerAlike(t, func(t *testing.T, h *Handler) []transport {
		clear, secure := start(t, h, false), start(t, h, true)
		return []transport{
			{"HTTP/1.1", func(t *testing.T, w wire) (answer, error) { return w.raw(t, clear) }},
			{"HTTP/1.1, absolute", clientTo(t, clear, "http", func(p *http.Protocols) { p.SetHTTP1(true) })},
			{"HTTP/2 in the clear", clientTo(t, clear, "http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
			{"HTTP/1.1 over TLS", clientTo(t, secure, "https", func(p *http.Protocols) { p.SetHTTP1(true) })},
			{"HTTP/2 over TLS", clientTo(t, secure, "https", func(p *http.Protocols) { p.SetHTTP2(true) })},
		}
	})
}
