package node

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// recent returns the requests that the registry knows of, by release.
func (w *world) recent() map[string]int64 {
	usage, err := w.Registry.Usage(w.T.Context())
	w.Check(err)
	all := make(map[string]int64)
	for id, a := range usage[holdfast.DefaultApp()] {
		if a.Last.IsZero() || time.Since(a.Last) > time.Minute {
			w.T.Errorf("%s was asked for at %v", id, a.Last)
		}
		all[id.String()] = a.Recent
	}
	return all
}

// The registry learns which releases are requested, for any URL, with one write for any
// number of requests.
func TestReportsUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one", "old.html": "old"})
	w.Publish("v2", map[string]string{"index.html": "two"})
	w.Add("v3", map[string]string{"index.html": "three"})
	c := w.config()
	c.Report = 20 * time.Millisecond
	n, _ := w.start(c)
	client, base := w.http(nil), "http://"+n.Addr().String()
	holdtest.Eventually(t, "v2", func() bool { _, body := read(t, client, base+"/"); return body == "two" })
	before := n.Table().Revision
	for range 5 {
		read(t, client, base+"/@v1/old.html")
	}
	read(t, client, base+"/@nothing/at-all")
	holdtest.Eventually(t, "the entry says what was asked for", func() bool {
		r := w.recent()
		return r["v1"] == 5 && r["v2"] >= 1 && len(r) == 2
	})
	if err := w.Registry.Retire(t.Context(), holdfast.DefaultApp(), holdtest.ID("v1"), registry.RetireOptions{}); err != nil {
		t.Fatal(err)
	}
	holdtest.Eventually(t, "the table after it", func() bool { return n.Table().Revision > before })
	if resp, _ := read(t, client, base+"/@v1/old.html"); resp.StatusCode != 410 {
		t.Errorf("%s", resp.Status)
	}
	holdtest.Eventually(t, "one more, although the release is another value now", func() bool { return w.recent()["v1"] == 6 })

	snap, err := w.Registry.Refresh(t.Context(), nil)
	w.Check(err)
	saved, err := w.Registry.SaveUsage(t.Context(), snap)
	w.Check(err)
	if saved[holdfast.DefaultApp()][holdtest.ID("v1")].Recent != 6 {
		t.Errorf("%+v", saved)
	}
}

// Requests from an hour ago count half, and releases without requests are left out in the
// end.
func TestUsageFades(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	n, stop := w.start(w.config())
	holdtest.Eventually(t, "a table", func() bool { return n.Table() != nil })
	table := n.Table()
	w.Check(stop())
	r, _ := table.Apps()[0].Release("v1")
	for range 100 {
		r.Asked.Add()
	}
	var u usage
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	if u.observe(table, now) != true || u.observe(table, now.Add(time.Minute)) != false {
		t.Error("news where there are none, or none where there are")
	}
	for after, want := range map[time.Duration]int64{0: 99, time.Hour: 49, 2 * time.Hour: 25} {
		u := u.copy()
		u.observe(table, now.Add(time.Minute+after))
		if got := u.asked()[holdfast.DefaultApp()][holdtest.ID("v1")]; got.Recent != want || !got.Last.Equal(now) {
			t.Errorf("after %v: %+v, want %d", after, got, want)
		}
	}
	u.observe(table, now.Add(-time.Hour)) // the clock was set back
	if got := u.asked()[holdfast.DefaultApp()][holdtest.ID("v1")].Recent; got != 99 {
		t.Errorf("after the clock was set back: %d", got)
	}
	u.observe(table, now.Add(30*time.Hour))
	if got := u.asked(); len(got) != 0 {
		t.Errorf("after a day: %+v", got)
	}
}

func (u *usage) copy() *usage {
	c := &usage{last: u.last, known: make(map[usageKey]*counted)}
	for key, value := range u.known {
		v := *value
		c.known[key] = &v
	}
	return c
}

// The elected node does its chores one after the other, sooner when there is more to
// do, goes on after a failure, and stops when it leads no more.
func TestChores(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	var runs atomic.Int64
	var overlap, running atomic.Bool
	ended := make(chan struct{})
	c := w.config()
	c.Chores = []Chore{{Name: "sweep", Every: 16 * time.Millisecond, Do: func(ctx context.Context, l *registry.Leadership) (time.Duration, error) {
		if running.Swap(true) {
			overlap.Store(true)
		}
		defer running.Store(false)
		if err := l.Verify(ctx); err != nil {
			return 0, err
		}
		switch runs.Add(1) {
		case 1:
			return 0, errors.New("broken")
		case 2:
			return time.Millisecond, nil
		case 3:
			<-ctx.Done() // however long it takes, it ends with the leadership
			close(ended)
			return 0, ctx.Err()
		}
		return 0, nil
	}}}
	_, stop := w.start(c)
	holdtest.Eventually(t, "three runs", func() bool { return runs.Load() == 3 })
	w.Check(stop())
	select {
	case <-ended:
	default:
		t.Error("the node stopped before its chore")
	}
	if overlap.Load() {
		t.Error("two runs at once")
	}
}
