package serve

import (
	"context"
	"net/http"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
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

// Gate is a Blobs over a release with files. Those named in Cold are not in memory, and
// opening one waits until Open is closed or the caller gives up.
type Gate struct {
	shelf
	Waiting chan string // receives the path of each file that is waited for
	Release chan struct{}
	GivenUp chan struct{} // receives a value for each wait that ended early
	cold    map[holdfast.ObjectName]string
}

// NewGate returns a handler over a live release with these files.
func NewGate(t testing.TB, files map[string]string, cold ...string) (*Handler, *Gate) {
	s := site{app: "default", sides: map[string]string{"main": "v1"}, releases: []rel{{id: "v1", state: holdfast.Live, files: files}}}
	g := &Gate{
		shelf: shelf{contents: objects(s), hot: true}, cold: make(map[holdfast.ObjectName]string),
		Waiting: make(chan string, 100), Release: make(chan struct{}), GivenUp: make(chan struct{}, 100),
	}
	for _, path := range cold {
		g.cold[holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(files[path]))}] = path
	}
	return NewHandler(&keeper{table: table(t, "main", s)}, g, Options{}), g
}

// Hot implements Blobs.
func (g *Gate) Hot(ref blob.Ref) ([]byte, bool) {
	if _, cold := g.cold[ref.Name]; cold {
		return nil, false
	}
	return g.shelf.Hot(ref)
}

// Open implements Blobs.
func (g *Gate) Open(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	g.Waiting <- g.cold[ref.Name]
	select {
	case <-g.Release:
		return g.shelf.Open(ctx, ref)
	case <-ctx.Done():
		g.GivenUp <- struct{}{}
		return nil, context.Cause(ctx)
	}
}
