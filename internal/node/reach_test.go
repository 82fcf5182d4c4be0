package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// away is a store that is unreachable until told otherwise.
type away struct {
	outage
	tries atomic.Int32
}

var errAway = errors.New("nobody answers at the store's address")

func (a *away) reach(context.Context) error {
	a.tries.Add(1)
	if a.down.Load() {
		return errAway
	}
	return nil
}

// A node without stored state is not ready before its store is reachable, says why, and
// needs no restart.
func TestFirstStartWithoutStore(t *testing.T) {
	t.Parallel()
	for _, releases := range []int{0, 1} {
		w := newWorld(t)
		if releases > 0 {
			w.Publish("v1", map[string]string{"index.html": "one"})
		}
		a := &away{outage: outage{from: w.Store}}
		a.down.Store(true)
		c := w.config()
		c.Manifests, c.Reach = a, a.reach
		log := &journal{}
		c.Logger = log.logger()
		n, stop := w.start(c)
		holdtest.Eventually(t, "the store was tried", func() bool { return a.tries.Load() > 1 })
		holdtest.Eventually(t, "the reason is said", func() bool { return strings.Contains(w.readyz(n).Reason, errAway.Error()) })
		want := map[int]int{0: http.StatusNotFound, 1: http.StatusServiceUnavailable}[releases]
		if resp, _ := read(t, w.http(nil), "http://"+n.Addr().String()+"/"); resp.StatusCode != want || want == 503 && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%d releases: %s, %v", releases, resp.Status, resp.Header)
		}
		if said := log.count("the store is out of reach"); said != 1 {
			t.Errorf("it was logged %d times", said)
		}
		a.down.Store(false)
		holdtest.Eventually(t, "ready", func() bool { return w.readyz(n).Ready })
		if releases > 0 && w.page(n) != "one" {
			t.Error("ready, and no page")
		}
		w.Check(stop())
	}
}

// A node with stored state is ready although the store is unreachable.
func TestRestartIsReadyWithoutStore(t *testing.T) {
	t.Parallel()
	w := newDiskWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	a := &away{outage: outage{from: w.Store}}
	c := w.config()
	c.Manifests, c.StateDir = a, t.TempDir()
	n, stop := w.start(c)
	holdtest.Eventually(t, "ready", func() bool { return w.readyz(n).Ready })
	holdtest.Eventually(t, "page", func() bool { return w.page(n) == "one" })
	w.Check(stop())
	a.down.Store(true)
	c.Reach = a.reach
	n, stop = w.start(c)
	holdtest.Eventually(t, "ready", func() bool { return w.readyz(n).Ready })
	w.Check(stop())
}
