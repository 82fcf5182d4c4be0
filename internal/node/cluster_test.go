package node

import (
	"context"
	"errors"
	"iter"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// set acts like zkCli.sh.
func (w *world) set(key, value string) {
	w.T.Helper()
	got, err := w.Client.Get(w.T.Context(), key)
	w.Check(err)
	op := kv.Create(key, []byte(value))
	if len(got) > 0 {
		op = kv.Set(key, []byte(value), got[0].Token)
	}
	_, err = w.Client.Commit(w.T.Context(), op)
	w.Check(err)
}

// TestLeaderRecordsForeignActivations: one of the nodes leads and gives each change of a
// version key one history entry; when it goes, another takes over.
func TestLeaderRecordsForeignActivations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	w.Publish("v2", map[string]string{"index.html": "two"})
	var nodes []*Node
	var stops []func() error
	for range 3 {
		c := w.config()
		_, c.Registry = w.Open(registry.Options{LeaderTTL: 2 * time.Second})
		n, stop := w.start(c)
		nodes, stops = append(nodes, n), append(stops, stop)
	}
	leader := func() int {
		return slices.IndexFunc(nodes, func(n *Node) bool { return n != nil && n.leading.Load() })
	}
	history := func() []registry.HistoryEntry {
		all, err := w.Registry.History(t.Context(), holdfast.DefaultApp(), 0)
		w.Check(err)
		return all
	}
	values := []string{"v1", "v2", "v1"}
	for i, id := range values {
		holdtest.Eventually(t, "a leader", func() bool { return leader() >= 0 })
		w.set("data/default/version/main", id)
		holdtest.Eventually(t, "an entry", func() bool { return len(history()) == 2+i+1 })
		if e := history()[0]; e.Release.String() != id {
			t.Errorf("entry %+v, want release %s", e, id)
		}
		at := leader()
		if s := w.readyz(nodes[at]); !s.Leader {
			t.Errorf("the leader says %+v", s)
		}
		w.Check(stops[at]())
		nodes[at] = nil
	}
	if n := len(history()); n != 2+len(values) {
		t.Errorf("%d entries, want %d", n, 2+len(values))
	}
	if _, ok, err := w.Registry.Leader(t.Context()); ok || err != nil {
		t.Errorf("a leader although no node runs: %v, %v", ok, err)
	}
}

func TestNoElection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.NoElection = true
	n, _ := w.start(c)
	holdtest.Eventually(t, "registered", func() bool {
		nodes, err := w.Registry.Nodes(t.Context())
		return err == nil && len(nodes) == 1
	})
	if _, ok, err := w.Registry.Leader(t.Context()); ok || err != nil || w.readyz(n).Leader {
		t.Errorf("it leads: %v, %v", ok, err)
	}
}

// TestReadyInSpiteOfMissingManifests: the live release of the node's side keeps it from
// being ready as long as another node has it; other served releases do, for a while.
func TestReadyInSpiteOfMissingManifests(t *testing.T) {
	t.Parallel()
	states := map[string]holdfast.State{"v1": holdfast.Draining, "v2": holdfast.Live, "v3": holdfast.Published}
	for _, missing := range []string{"v1", "v2", "v3"} {
		t.Run(states[missing].String(), func(t *testing.T) {
			w := newWorld(t)
			for _, id := range []string{"v1", "v2"} {
				w.Publish(id, map[string]string{"index.html": id})
			}
			w.Add("v3", map[string]string{"index.html": "v3"})
			c := w.config()
			c.Poll = 50 * time.Millisecond
			snap, err := w.Registry.Refresh(t.Context(), nil)
			w.Check(err)
			for _, r := range snap.Apps[0].Releases {
				if r.ID.String() == missing {
					c.Manifests = without{w.Store, r.Manifest}
				}
				if r.State != states[r.ID.String()] {
					t.Fatalf("release %s is %s", r.ID, r.State)
				}
			}
			n, _ := w.start(c)
			holdtest.Eventually(t, "listed", func() bool { return n.entered.Load() })
			if s := w.readyz(n); s.Ready {
				t.Errorf("status %+v", s)
			}
			past := time.Now().Add(-n.config.WarmFor)
			n.patientSince.Store(&past)
			holdtest.Eventually(t, "ready after a while", func() bool { return w.readyz(n).Ready })
			id := holdtest.ID(missing)
			other, err := w.Registry.RegisterNode(t.Context(), registry.NodeInfo{
				Name: "other", Ready: map[holdfast.AppName][]holdfast.ReleaseID{holdfast.DefaultApp(): {id}},
			}, time.Minute)
			w.Check(err)
			if missing == "v2" {
				holdtest.Eventually(t, "not ready when another node has it", func() bool { return !w.readyz(n).Ready })
				w.Check(other.Close())
				holdtest.Eventually(t, "ready when that one has gone", func() bool { return w.readyz(n).Ready })
			} else if s := w.readyz(n); !s.Ready {
				t.Errorf("another node has it: %+v", s)
			}
			w.Check(other.Close())
		})
	}
}

// without is a store that lacks a manifest.
type without struct {
	live.Manifests
	lacks holdfast.Digest
}

func (s without) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	if d == s.lacks {
		return nil, holdfast.ErrNotFound
	}
	return s.Manifests.Manifest(ctx, d)
}

// stove is a Warmer that a test lets finish.
type stove struct {
	mu     sync.Mutex
	asked  [][]blob.Ref
	ended  []error // of contexts, as the calls ended
	result chan error
}

func (s *stove) Warm(ctx context.Context, refs iter.Seq[blob.Ref], _ int) (blob.WarmStats, error) {
	s.mu.Lock()
	s.asked = append(s.asked, slices.Collect(refs))
	s.mu.Unlock()
	var err error
	select {
	case err = <-s.result:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, err)
	return blob.WarmStats{}, err
}

func (s *stove) calls() (asked, ended int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked), len(s.ended)
}

func (w *world) readyReleases() []string {
	w.T.Helper()
	nodes, err := w.Registry.Nodes(w.T.Context())
	w.Check(err)
	var ids []string
	for _, n := range nodes {
		for _, id := range n.Ready[holdfast.DefaultApp()] {
			ids = append(ids, id.String())
		}
	}
	slices.Sort(ids)
	return ids
}

// TestReadyWhenWarm: an entry names live releases when they are warm, even if that takes
// several attempts, and not those that are no longer live.
func TestReadyWhenWarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one", "a.html": "other"})
	s := &stove{result: make(chan error)}
	c := w.config()
	c.Warmer = s
	w.start(c)
	registered := func() bool { nodes, err := w.Registry.Nodes(t.Context()); return err == nil && len(nodes) == 1 }
	holdtest.Eventually(t, "registered", registered)
	holdtest.Eventually(t, "warming", func() bool { asked, _ := s.calls(); return asked == 1 })
	if got := w.readyReleases(); len(got) != 0 {
		t.Errorf("ready %q while it is cold", got)
	}
	if len(s.asked[0]) != 2 {
		t.Errorf("asked for %d blobs, want 2", len(s.asked[0]))
	}
	s.result <- errors.New("the store is slow")
	s.result <- nil
	holdtest.Eventually(t, "v1 ready", func() bool { return slices.Equal(w.readyReleases(), []string{"v1"}) })

	w.Publish("v2", map[string]string{"index.html": "two"})
	holdtest.Eventually(t, "warming v2", func() bool { asked, _ := s.calls(); return asked == 3 })
	w.Publish("v3", map[string]string{"index.html": "three"})
	holdtest.Eventually(t, "v2 left alone", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.asked) == 4 && len(s.ended) == 3 && errors.Is(s.ended[2], context.Canceled)
	})
	s.result <- nil
	holdtest.Eventually(t, "v3 ready", func() bool { return slices.Equal(w.readyReleases(), []string{"v1", "v2", "v3"}) })
}

// TestReadyWhenWarmingTakesTooLong: a store that hangs puts off readiness for a
// bounded time.
func TestReadyWhenWarmingTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	c := w.config()
	c.Warmer, c.WarmFor = &stove{result: make(chan error)}, 100*time.Millisecond
	w.start(c)
	holdtest.Eventually(t, "v1 ready", func() bool { return slices.Equal(w.readyReleases(), []string{"v1"}) })
}

// TestWarmsForReal: with the real source the bodies are in memory before the first
// request.
func TestWarmsForReal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one", "a.html": "other"})
	c := w.config()
	c.Warmer = w.blobs
	w.start(c)
	holdtest.Eventually(t, "v1 ready", func() bool { return slices.Equal(w.readyReleases(), []string{"v1"}) })
	for _, content := range []string{"one", "other"} {
		ref := blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(content))}, Size: int64(len(content))}
		if _, hot := w.blobs.Hot(ref); !hot {
			t.Errorf("the body %q is cold", content)
		}
	}
}

// TestLazyOpensOnce: failures are tried again, calls of open do not overlap, and a
// caller that gives up does not wait for another's.
func TestLazyOpensOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		real := newWorld(t).Registry
		opened, now := 0, 0
		l := NewLazy(func(context.Context) (Registry, error) {
			if now++; now != 1 {
				t.Error("two at once")
			}
			time.Sleep(3 * time.Second)
			now--
			if opened++; opened == 1 {
				return nil, holdfast.ErrUnavailable
			}
			return real, nil
		})
		if _, err := l.Refresh(t.Context(), nil); !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("first: %v", err)
		}
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := l.Refresh(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Campaign(ctx, registry.LeaderInfo{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
		wg.Wait()
		entry, err := l.RegisterNode(t.Context(), registry.NodeInfo{Name: "n"}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		leadership, err := l.Campaign(t.Context(), registry.LeaderInfo{})
		if err != nil {
			t.Fatal(err)
		}
		watching, stop := context.WithCancel(t.Context())
		hints, err := l.Watch(watching)
		if err != nil {
			t.Fatal(err)
		}
		stop()
		for range hints {
		}
		if err := errors.Join(entry.Close(), leadership.Close()); err != nil || opened != 2 {
			t.Errorf("%v; opened %d times", err, opened)
		}
	})
}

// TestStateForgets: texts that no release needs are deleted, but not young ones.
func TestStateForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Publish("v1", map[string]string{"index.html": "one"})
		s, err := openState(t.TempDir(), w.config().Logger)
		w.Check(err)
		snap, err := w.Registry.Refresh(t.Context(), nil)
		w.Check(err)
		wanted := manifestDir + snap.Apps[0].Releases[0].Manifest.String()
		other := manifestDir + holdfast.DigestOf(nil).String()
		m := &manifests{from: w.Store, state: s}
		m.save(wanted, []byte("x"))
		m.save(other, []byte("y"))
		names := func() (all []string) {
			entries, err := s.dir.ReadDir(path.Clean(manifestDir))
			w.Check(err)
			for _, e := range entries {
				all = append(all, manifestDir+e.Name())
			}
			return all
		}
		w.Check(s.clean(snap))
		if got := names(); len(got) != 2 {
			t.Errorf("left %q, want both", got)
		}
		// The bubble's clock is long before the files' own times.
		time.Sleep(time.Until(time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)))
		w.Check(s.clean(snap))
		if got := names(); !slices.Equal(got, []string{wanted}) {
			t.Errorf("left %q, want %q", got, wanted)
		}
		w.Check(s.Close())
	})
}

func FuzzParseTable(f *testing.F) {
	good, err := (&registry.Snapshot{Registry: "r", Revision: 7}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	sealed := func(rest string) []byte {
		return []byte(tableHeader + holdfast.DigestOf([]byte(rest)).String() + "\n" + rest)
	}
	f.Add([]byte(`{"read":"2026-01-01T00:00:00Z","snapshot":`+string(good)+`}`), true)
	f.Add([]byte(`{"snapshot":null}`), true)
	f.Add(sealed("{}"), false)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal {
			data = sealed(string(data))
		}
		k, err := parseTable(data)
		if (err == nil) != (k.Snapshot != nil) {
			t.Errorf("snapshot %v, error %v", k.Snapshot, err)
		}
	})
}
