package delta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf holds contents by object, counts the reads, and can fail.
type shelf struct {
	mu       sync.Mutex
	contents map[holdfast.ObjectName]string
	reads    int
	fail     error
	hang     bool // until the context ends
}

type content struct{ *strings.Reader }

func (content) Close() error { return nil }

func (s *shelf) Open(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	text, ok := s.contents[ref.Name]
	switch {
	case s.hang:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case s.fail != nil:
		return nil, s.fail
	case !ok:
		return nil, holdfast.ErrNotFound
	}
	return content{strings.NewReader(text)}, nil
}

func (s *shelf) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

func (s *shelf) failWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *shelf) add(text string) live.Variant {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := live.Variant{Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(text))}, Size: int64(len(text))}
	s.contents[v.Name] = text
	return v
}

// entry is a file whose smallest form is claimed to have that many bytes.
func (s *shelf) entry(path, text string, smallest int64) *live.Entry {
	v := s.add(text)
	return &live.Entry{
		Path: path, Logical: path, Digest: v.Name.Digest, Size: v.Size, MediaType: "text/javascript",
		Variants: []live.Variant{{Coding: holdfast.Brotli, Size: smallest}, v},
	}
}

func script(n int) string {
	var b strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&b, "function f%d(a){return a*%d}\n", i, i*i+n*(i%500/499))
	}
	return b.String()
}

// upgrade is one from version 1 to 2 of a script.
func upgrade(s *shelf) live.Upgrade {
	return live.Upgrade{Dictionary: s.entry("a.js", script(1), 9000), Target: s.entry("a.js", script(2), 9000)}
}

// running is a Maker that runs until the test ends, in a synctest bubble.
func running(t *testing.T, s *shelf, o Options) *Maker {
	t.Helper()
	m, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return m
}

func newShelf() *shelf { return &shelf{contents: make(map[holdfast.ObjectName]string)} }

// The first request gets no delta, and the next one gets the delta made since.
func TestFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		u, m := upgrade(s), running(t, s, Options{})
		for _, c := range []holdfast.Coding{holdfast.DeltaBrotli, holdfast.DeltaZstd} {
			if _, _, ok := m.Find(c, u); ok {
				t.Fatalf("%s is there before it was asked for", c)
			}
			m.Find(c, u)
			time.Sleep(2 * maxRest)
			delta, digest, ok := m.Find(c, u)
			if !ok || digest != holdfast.DigestOf(delta) {
				t.Fatalf("%s: %v, digest of something else", c, ok)
			}
			back, err := coding.DecodeDelta(c, []byte(script(1)), delta, u.Target.Size)
			if err != nil || string(back) != script(2) {
				t.Errorf("%s: other bytes (%v)", c, err)
			}
		}
		if got := m.Stats(); got != (Stats{Made: 2}) {
			t.Errorf("%+v", got)
		}
		if s.asked() != 4 {
			t.Errorf("%d reads, want 4: twice asked for is once made", s.asked())
		}
	})
}

// A delta hardly smaller than the whole is not sent, and not tried again.
func TestUseless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := running(t, s, Options{})
		u := live.Upgrade{Dictionary: s.entry("a.js", strings.Repeat("-", 3000), 40), Target: s.entry("a.js", script(2), 90)}
		for range 3 {
			if delta, _, _ := m.Find(holdfast.DeltaBrotli, u); delta != nil {
				t.Fatal("a delta larger than the smallest form")
			}
			time.Sleep(time.Second)
		}
		if _, _, known := m.Find(holdfast.DeltaBrotli, u); !known {
			t.Error("it is not known that there is none")
		}
		if got := m.Stats(); got != (Stats{Useless: 1}) || s.asked() != 2 {
			t.Errorf("%+v after %d reads", got, s.asked())
		}
	})
}

// A failed delta is retried after a while, and reported once until then.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newShelf(), new(strings.Builder)
		u, m := upgrade(s), running(t, s, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
		s.failWith(errors.New("store on fire"))
		for range 5 {
			if _, _, known := m.Find(holdfast.DeltaBrotli, u); known {
				t.Error("known although it failed")
			}
			synctest.Wait()
		}
		if got := m.Stats(); got != (Stats{Failed: 1}) || strings.Count(log.String(), "store on fire") != 1 {
			t.Errorf("%+v\n%s", got, log)
		}
		s.failWith(nil)
		time.Sleep(failureFor + time.Second)
		m.Find(holdfast.DeltaBrotli, u)
		synctest.Wait()
		if _, _, ok := m.Find(holdfast.DeltaBrotli, u); !ok {
			t.Error("not made after the failure was over")
		}
	})
}

// What a lost release would need is tried ever less often, and reported once.
func TestLostRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newShelf(), new(strings.Builder)
		u, m := upgrade(s), running(t, s, Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
		s.failWith(errors.New("no such object"))
		for range 24 * 60 { // a day of requests
			m.Find(holdfast.DeltaBrotli, u)
			time.Sleep(time.Minute)
		}
		if got := m.Stats().Failed; got < 8 || got > 16 || strings.Count(log.String(), "no such object") != 1 {
			t.Errorf("%d attempts in a day\n%s", got, log)
		}
		s.failWith(nil)
		time.Sleep(failureMost)
		m.Find(holdfast.DeltaBrotli, u)
		synctest.Wait()
		if _, _, ok := m.Find(holdfast.DeltaBrotli, u); !ok {
			t.Error("not made when the release was there again")
		}
	})
}

// A hanging store delays neither requests nor the end.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		s.hang = true
		u, m := upgrade(s), running(t, s, Options{})
		m.Find(holdfast.DeltaBrotli, u)
		time.Sleep(readTimeout + time.Second)
		if got := m.Stats(); got.Failed != 1 {
			t.Errorf("%+v", got)
		}
		for i := range 2 * maxAsked { // one of them hangs, the queue fills
			m.Find(holdfast.DeltaBrotli, live.Upgrade{Dictionary: u.Dictionary, Target: s.namesake(i)})
		}
		if got := m.Stats(); got.Dropped == 0 || got.Dropped > maxAsked+1 {
			t.Errorf("%+v", got)
		}
	})
}

// namesake is a file without any bytes.
func (s *shelf) namesake(i int) *live.Entry {
	return &live.Entry{Path: "a.js", Digest: holdfast.DigestOf(fmt.Append(nil, i)), Variants: []live.Variant{{Size: 9000}}}
}

// The cache is bounded.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		m := running(t, s, Options{Memory: MinMemory})
		var all []live.Upgrade
		for i := range 60 {
			u := live.Upgrade{Dictionary: s.entry("a.js", "nothing of that kind", 90000), Target: s.entry("a.js", noise(i, 50_000), 90000)}
			all = append(all, u)
			m.Find(holdfast.DeltaBrotli, u)
			time.Sleep(2 * maxRest)
		}
		kept := 0
		for _, u := range all {
			if delta, _, ok := m.Find(holdfast.DeltaBrotli, u); ok {
				kept += len(delta) + overhead
			}
		}
		if m.Stats().Made < 60 || kept == 0 || kept > MinMemory {
			t.Errorf("%+v, %d bytes are kept", m.Stats(), kept)
		}
		large := live.Upgrade{Dictionary: all[0].Dictionary, Target: s.entry("a.js", noise(99, MinMemory/maxPart+1), 900000)}
		for range 3 {
			m.Find(holdfast.DeltaBrotli, large)
			time.Sleep(time.Second)
		}
		if delta, _, known := m.Find(holdfast.DeltaBrotli, large); delta != nil || !known || m.Stats().Useless != 1 {
			t.Errorf("one that takes too much: %d bytes, known: %v, %+v", len(delta), known, m.Stats())
		}
	})
	if _, err := New(newShelf(), Options{Memory: MinMemory - 1}); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("too little memory: %v", err)
	}
}

// noise cannot be compressed.
func noise(seed, n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return string(b)
}

// Deltas that could not be made ahead are made once the store is back.
func TestPrepareAgain(t *testing.T) {
	s := newShelf()
	table := s.table(t, 2)
	synctest.Test(t, func(t *testing.T) {
		m := running(t, s, Options{})
		s.failWith(errors.New("store on fire"))
		m.Prepare(table)
		synctest.Wait()
		m.Prepare(table) // a swap in between forgets nothing
		synctest.Wait()
		s.failWith(nil)
		time.Sleep(3 * failureFor)
		if got := m.Stats(); got.Made != 1 {
			t.Errorf("%+v", got)
		}
	})
}

// A newly live release has its deltas made before the first request.
func TestPrepare(t *testing.T) {
	s := newShelf()
	table, next := s.table(t, 2), s.table(t, 3)
	synctest.Test(t, func(t *testing.T) {
		m := running(t, s, Options{})
		m.Prepare(table)
		synctest.Wait()
		if got := m.Stats(); got != (Stats{Made: 1}) {
			t.Errorf("%+v", got)
		}
		m.Prepare(table)
		synctest.Wait()
		if s.asked() != 2 {
			t.Errorf("%d reads: made again", s.asked())
		}
		m.Prepare(next)
		synctest.Wait()
		for _, u := range next.Apps()[0].Upgrades(back) {
			if _, _, ok := m.Find(holdfast.DeltaBrotli, u); !ok {
				t.Errorf("no delta from %s to %s", u.Dictionary.Digest.Short(), u.Target.Digest.Short())
			}
		}
		if got := m.Stats(); got != (Stats{Made: 3}) {
			t.Errorf("%+v", got)
		}
	})
}

// table is one with n releases of a script, the last of which is live; "off" has no deltas.
func (s *shelf) table(t *testing.T, n int) *live.Table {
	t.Helper()
	snap, texts := &registry.Snapshot{Registry: "test", Revision: 1}, texts{}
	for _, name := range []string{"default", "off"} {
		app := holdtest.App(name)
		state := &registry.AppState{Name: app, Settings: holdfast.DefaultSettings(app)}
		if name == "off" {
			state.Settings.Deltas = holdfast.DeltasOff
		}
		for i := range n {
			state.Releases = append(state.Releases, s.release(t, app, i+1, texts))
		}
		state.Sides = []registry.SideInfo{{Side: holdfast.DefaultSide(), Live: state.Releases[n-1].ID, Activated: state.Releases[n-1].Activated}}
		snap.Apps = append(snap.Apps, state)
	}
	return live.NewTable(t.Context(), holdfast.DefaultSide(), snap, texts, slog.New(slog.DiscardHandler))
}

func (s *shelf) release(t *testing.T, app holdfast.AppName, n int, all texts) registry.ReleaseInfo {
	t.Helper()
	text := script(n)
	f := holdfast.File{Path: "a.js", Logical: "a.js", Digest: holdfast.DigestOf([]byte(text)), Size: int64(len(text)), MediaType: "text/javascript"}
	m := holdtest.Must(holdfast.NewManifest([]holdfast.File{f}))
	s.add(text)
	inv, err := holdfast.NewInventory([]holdfast.Object{
		{Digest: f.Digest, Name: holdfast.ObjectName{Digest: f.Digest}, Size: f.Size},
		{Digest: f.Digest, Coding: holdfast.Brotli, Name: holdfast.ObjectName{Digest: holdfast.DigestOf([]byte("br" + text))}, Size: 9000},
	})
	if err != nil {
		t.Fatal(err)
	}
	all[m.Digest()], all[inv.Digest()] = m, inv
	id := holdtest.ID(fmt.Sprint("r", n))
	at := time.Unix(1_700_000_000+int64(n), 0)
	return registry.ReleaseInfo{
		Release: holdfast.Release{App: app, ID: id, Manifest: m.Digest(), Inventory: inv.Digest(), Published: at}, State: holdfast.Live, Activated: at,
	}
}

// texts are manifests and inventories by digest.
type texts map[holdfast.Digest]any

func (x texts) Manifest(_ context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	return x[d].(*holdfast.Manifest), nil
}

func (x texts) Inventory(_ context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	return x[d].(*holdfast.Inventory), nil
}

func (x texts) Pages(context.Context, holdfast.Object) (*holdfast.Pages, error) {
	return nil, holdfast.ErrNotFound
}

var _ io.ReaderAt = content{}
