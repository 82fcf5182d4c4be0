package node

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// TestNodeOfAProgram: a node without listeners is a node: it is listed, reports its
// releases and requests, and is removed from the list when it ends.
func TestNodeOfAProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.Listen, c.Admin, c.Blobs, c.Warmer = "", "", nil, w.blobs
	c.Name, c.Address, c.Report, c.NoElection = "shop", "10.0.0.7:80", 20*time.Millisecond, true
	n, stop := w.start(c)
	handler := serve.NewHandler(n, w.blobs, serve.Options{Logger: c.Logger})
	select {
	case <-n.Changed():
	case <-time.After(patience):
		t.Fatal("no hint that there is a table")
	}
	holdtest.Eventually(t, "ready and warm", func() bool { return n.Status().Ready && n.Warm(holdfast.DefaultApp(), holdtest.ID("v1")) })
	if n.Addr() != nil || n.AdminAddr() != nil || n.PeerAddr() != "" {
		t.Errorf("it listens: %v %v %q", n.Addr(), n.AdminAddr(), n.PeerAddr())
	}
	for range 3 {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest("GET", "/", nil))
		if answer.Code != http.StatusOK || answer.Body.String() != "one" {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	}
	holdtest.Eventually(t, "the entry says all of it", func() bool {
		nodes, err := w.Registry.Nodes(t.Context())
		w.Check(err)
		return len(nodes) == 1 && nodes[0].Name == "shop" && nodes[0].Address == "10.0.0.7:80" &&
			len(nodes[0].Ready[holdfast.DefaultApp()]) == 1 && w.recent()["v1"] == 3
	})
	w.Check(stop())
	if nodes, err := w.Registry.Nodes(t.Context()); err != nil || len(nodes) > 0 {
		t.Errorf("it ended, and is listed: %+v %v", nodes, err)
	}
	if s := n.Status(); s.Ready || s.Reason != "draining" {
		t.Errorf("it ended: %+v", s)
	}
}
