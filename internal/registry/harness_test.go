package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(workerEnv); path != "" {
		if err := work(context.Background(), path, bufio.NewReader(os.Stdin), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/go-zookeeper/zk.(*Conn).flushRequests")) // see zkkv
}

// opener returns a new handle on the test's database.
type opener func() kv.Driver

// eachDriver runs a test over every driver that needs no server.
func eachDriver(t *testing.T, test func(t *testing.T, open opener)) {
	t.Run("memkv", func(t *testing.T) { test(t, memory(t, memkv.Options{})) })
	t.Run("sqlitekv", func(t *testing.T) { test(t, sqlite(t)) })
}

func memory(t testing.TB, o memkv.Options) opener {
	db := memkv.New(o)
	return func() kv.Driver {
		c := db.Client()
		t.Cleanup(func() { c.Close() })
		return c
	}
}

func sqlite(t testing.TB) opener {
	path := filepath.Join(t.TempDir(), "registry.db")
	return func() kv.Driver {
		d, err := sqlitekv.Open(t.Context(), path, sqlitekv.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Errorf("close driver: %v", err)
			}
		})
		return d
	}
}

// wallClock is a settable wall clock for tests; it may go backwards.
type wallClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *wallClock {
	return &wallClock{now: time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)}
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *wallClock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openRegistry(t testing.TB, d kv.Driver, c *wallClock) *Registry {
	t.Helper()
	r, err := Open(t.Context(), d, Options{Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func appName(s string) holdfast.AppName   { return must(holdfast.ParseAppName(s)) }
func side(s string) holdfast.Side         { return must(holdfast.ParseSide(s)) }
func release(s string) holdfast.ReleaseID { return must(holdfast.ParseReleaseID(s)) }
func digest(s string) holdfast.Digest     { return holdfast.DigestOf([]byte(s)) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// build is a release record as passed by a publisher.
func build(app, id, manifest, inventory string) holdfast.Release {
	return holdfast.Release{
		App: appName(app), ID: release(id), Manifest: digest(manifest), Inventory: digest(inventory),
		Files: 3, Bytes: 4096,
	}
}

// publish does a whole publish except the upload.
func publish(ctx context.Context, r *Registry, rel holdfast.Release) (holdfast.Release, AddOutcome, error) {
	lease, err := r.BeginPublish(ctx, rel.App, rel.Manifest, true)
	if err != nil {
		return holdfast.Release{}, 0, err
	}
	added, outcome, err := r.AddRelease(ctx, lease, rel, nil)
	return added, outcome, errors.Join(err, lease.Close())
}

func mustPublish(t testing.TB, r *Registry, app string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, _, err := publish(t.Context(), r, build(app, id, "manifest "+id, "inventory "+id)); err != nil {
			t.Fatal(err)
		}
	}
}

func mustActivate(t testing.TB, r *Registry, app, id, on string) HistoryEntry {
	t.Helper()
	e, _, err := r.Activate(t.Context(), appName(app), release(id), ActivateOptions{Side: side(on), Create: true, Reason: Reason{By: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func mustRefresh(t testing.TB, r *Registry, prev *Snapshot) *Snapshot {
	t.Helper()
	s, err := r.Refresh(t.Context(), prev)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setForeign acts like a client that knows only the version keys.
func setForeign(t testing.TB, d kv.Driver, app, on, value string) {
	t.Helper()
	key := versionKey(appName(app), side(on))
	got, err := d.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	op := kv.Create(key, []byte(value))
	if len(got) > 0 {
		op = kv.Set(key, []byte(value), got[0].Token)
	}
	if _, err := d.Commit(t.Context(), op); err != nil {
		t.Fatal(err)
	}
}

func removeForeign(t testing.TB, d kv.Driver, app, on string) {
	t.Helper()
	remove(t, d, versionKey(appName(app), side(on)))
}

// remove deletes a key, if it exists, behind the registry's back.
func remove(t testing.TB, d kv.Driver, key string) {
	t.Helper()
	got, err := d.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range got {
		if _, err := d.Commit(t.Context(), kv.Delete(e.Key, e.Token)); err != nil {
			t.Fatal(err)
		}
	}
}

// plain lets cmp compare the values of this package.
func plain() cmp.Option {
	return cmp.Options{
		cmpopts.EquateComparable(holdfast.AppName{}, holdfast.ReleaseID{}, holdfast.Side{}, holdfast.Mount{}, holdfast.PackName{}),
		cmpopts.IgnoreUnexported(holdfast.Settings{}),
		cmpopts.EquateEmpty(),
	}
}

// wantError fails unless err is of a kind and contains all words.
func wantError(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want one that is %q", err, kind)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// spy counts requests to a driver.
type spy struct {
	kv.Driver
	mu    sync.Mutex
	gets  [][]string
	lists []string
}

func (s *spy) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	s.mu.Lock()
	s.gets = append(s.gets, append([]string(nil), keys...))
	s.mu.Unlock()
	return s.Driver.Get(ctx, keys...)
}

func (s *spy) List(ctx context.Context, dir string) ([]string, kv.Revision, error) {
	s.mu.Lock()
	s.lists = append(s.lists, dir)
	s.mu.Unlock()
	return s.Driver.List(ctx, dir)
}

func (s *spy) reset() { s.gets, s.lists = nil, nil }

// markGone makes a retired release a tombstone, as Transit does, and may be repeated.
// ErrConflict if it is not retired, or pinned; ErrNotFound.
func markGone(ctx context.Context, r *Registry, app holdfast.AppName, id holdfast.ReleaseID) error {
	return r.mark(ctx, "mark as gone", app, id, func(e *edit, f flags) error {
		switch {
		case f.Gone != 0:
			return nil
		case f.Retired == 0 || f.Pinned:
			return holdfast.ErrConflict
		}
		e.checkVersionKeys()
		e.tombstone([]holdfast.ReleaseID{id}, e.stamp(time.Time{}), Reason{})
		return nil
	})
}
