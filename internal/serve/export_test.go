package serve

import (
	"net/http"
	"testing"
)

// AnswerAlike is TestAllTransportsAnswerAlike for a shell that start serves a handler
// over, in cleartext; it returns the address.
func AnswerAlike(t *testing.T, start func(*testing.T, *Handler) string) {
	answerAlike(t, func(t *testing.T, h *Handler) []transport {
		address := start(t, h)
		return []transport{
			{"HTTP/1.1", func(t *testing.T, w wire) (answer, error) { return w.raw(t, address) }},
			{"HTTP/1.1, absolute", clientTo(t, address, "http", func(p *http.Protocols) { p.SetHTTP1(true) })},
			{"HTTP/2 in the clear", clientTo(t, address, "http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
		}
	})
}
