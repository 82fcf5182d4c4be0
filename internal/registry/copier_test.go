package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
)

// onEachService runs a test over every driver, real servers included.
func onEachService(t *testing.T, test func(t *testing.T, open opener)) {
	eachDriver(t, test)
	t.Run("zkkv", func(t *testing.T) {
		zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 1})
		test(t, func() kv.Driver {
			return opened(t, func() (*zkkv.Driver, error) {
				return zkkv.Open(t.Context(), zkkv.Config{Servers: zk.Addresses, Root: "/copier"})
			})
		})
	})
	t.Run("etcdkv", func(t *testing.T) {
		etcd := services.StartEtcd(t, services.EtcdOptions{Members: 1})
		test(t, func() kv.Driver {
			return opened(t, func() (*etcdkv.Driver, error) {
				return etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: etcd.Endpoints, Prefix: "copier"})
			})
		})
	})
}

// publisher publishes a build as one of several, and waits for others as they do.
type publisher struct {
	r    *Registry
	name string
	rel  holdfast.Release
}

func (p publisher) begin(ctx context.Context) (PublishLease, error) {
	return p.r.BeginCopy(ctx, p.rel.App, p.rel.Manifest, true, p.name)
}

func (p publisher) await(ctx context.Context, patience time.Duration, tell func(Copier)) error {
	return p.r.AwaitCopier(ctx, p.rel.App, p.rel.Manifest, patience, tell)
}

// TestOneCopier: of several publishers of one build that begin at once, one is the copier
// at any time. The others wait until it closes its lease, or dies with its connection.
func TestOneCopier(t *testing.T) {
	onEachService(t, func(t *testing.T, open opener) {
		rel := build("shop", "v1", "m", "i")
		var copying, most, turns atomic.Int32
		var wg sync.WaitGroup
		for i := range 5 {
			d := open()
			p := publisher{openRegistry(t, d, newClock()), fmt.Sprintf("n%d", i), rel}
			wg.Go(func() {
				for {
					lease, err := p.begin(t.Context())
					var busy *CopyingError
					if errors.As(err, &busy) {
						if err := p.await(t.Context(), time.Hour, func(Copier) {}); err != nil {
							t.Error(err)
							return
						}
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					most.Store(max(most.Load(), copying.Add(1)))
					turns.Add(1)
					copying.Add(-1)
					if i%2 == 0 {
						d.(interface{ Close() error }).Close() //nolint:errcheck // it dies
						return
					}
					if err := lease.Close(); err != nil {
						t.Error(err)
					}
					return
				}
			})
		}
		wg.Wait()
		if most.Load() != 1 || turns.Load() != 5 {
			t.Errorf("%d copiers at once, %d in all", most.Load(), turns.Load())
		}
		r := openRegistry(t, open(), newClock())
		if keys, err := r.db.list(t.Context(), copierDir); err != nil || len(keys) > 0 {
			t.Errorf("copiers left: %v %v", keys, err)
		}
	})
}

// TestCopierProgress: those that wait see how far the copier is, and other builds and
// apps have copiers of their own.
func TestCopierProgress(t *testing.T) {
	onEachService(t, func(t *testing.T, open opener) {
		a := publisher{openRegistry(t, open(), newClock()), "n1", build("shop", "v1", "m", "i")}
		b := publisher{openRegistry(t, open(), newClock()), "n2", a.rel}
		lease := must(a.begin(t.Context()))
		var busy *CopyingError
		if _, err := b.begin(t.Context()); !errors.As(err, &busy) || busy.Copier.By != "n1" || !errors.Is(err, holdfast.ErrConflict) {
			t.Fatalf("%v", err)
		}
		for _, other := range []holdfast.Release{build("shop", "v2", "m2", "i"), build("blog", "v1", "m", "i")} {
			l, err := publisher{b.r, "n2", other}.begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
		told, ended := make(chan Copier, 10), make(chan error, 1)
		go func() { ended <- b.await(t.Context(), time.Hour, func(c Copier) { told <- c }) }()
		<-told
		now := CopierProgress{Files: 3, FilesDone: 1, Steps: 7}
		for range 2 { // a second report needs the token of the first
			if err := lease.Report(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			if c := <-told; c.CopierProgress != now || c.By != "n1" {
				t.Errorf("%+v", c)
			}
			now.FilesDone, now.Steps = 2, 9
		}
		if _, _, err := a.r.AddRelease(t.Context(), lease, a.rel, nil); err != nil {
			t.Fatal(err)
		}
		if err := lease.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestStuckCopier: a copier that reports nothing new loses its place, can finish all the
// same, and does not touch the entry of the next one. One that gets on keeps it.
func TestStuckCopier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := memory(t, memkv.Options{})
		a := publisher{openRegistry(t, open(), newClock()), "n1", build("shop", "v1", "m", "i")}
		b := publisher{openRegistry(t, open(), newClock()), "n2", a.rel}
		first := must(a.begin(t.Context()))
		start := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- b.await(t.Context(), time.Minute, func(Copier) {}) }()
		for i := range 3 {
			time.Sleep(50 * time.Second)
			if err := first.Report(t.Context(), CopierProgress{Steps: int64(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 210*time.Second || took > 220*time.Second {
			t.Errorf("taken over after %v", took)
		}
		second := must(b.begin(t.Context()))
		if err := first.Report(t.Context(), CopierProgress{Steps: 99}); !errors.Is(err, holdfast.ErrConflict) {
			t.Errorf("report of a copier that lost its place: %v", err)
		}
		if err := second.Report(t.Context(), CopierProgress{Steps: 1}); err != nil {
			t.Errorf("report of the new one: %v", err)
		}
		if _, outcome, err := a.r.AddRelease(t.Context(), first, a.rel, nil); err != nil || outcome != Added {
			t.Errorf("%v %v", outcome, err)
		}
		if _, outcome, err := b.r.AddRelease(t.Context(), second, b.rel, nil); err != nil || outcome != Unchanged {
			t.Errorf("%v %v", outcome, err)
		}
		for _, l := range []PublishLease{first, second} {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestCopierOutcomeLost: a claim whose answer was lost is found again.
func TestCopierOutcomeLost(t *testing.T) {
	lose := true
	open := memory(t, memkv.Options{After: func(_ context.Context, call memkv.Call) error {
		if lose && call.Ops[0].Key == copierKey(appName("shop"), digest("m")) {
			lose = false
			return kv.ErrUnknown
		}
		return nil
	}})
	p := publisher{openRegistry(t, open(), newClock()), "n1", build("shop", "v1", "m", "i")}
	lease, err := p.begin(t.Context())
	if err != nil || lose {
		t.Fatal(lose, err)
	}
	if err := lease.Report(t.Context(), CopierProgress{Steps: 1}); err != nil {
		t.Error(err)
	}
	if err := lease.Close(); err != nil {
		t.Error(err)
	}
}

// TestAwaitCopierEnds with its context, and after a while when the registry is away.
func TestAwaitCopierEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var away atomic.Bool
		open := memory(t, memkv.Options{Before: func(_ context.Context, call memkv.Call) error {
			if away.Load() && call.Method == "get" {
				return errors.New("connection refused")
			}
			return nil
		}})
		p := publisher{openRegistry(t, open(), newClock()), "n1", build("shop", "v1", "m", "i")}
		lease := must(p.begin(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.await(ctx, time.Hour, func(Copier) {}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		away.Store(true)
		start := time.Now()
		if err := p.await(t.Context(), time.Minute, func(Copier) {}); !errors.Is(err, holdfast.ErrUnavailable) || time.Since(start) < time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := lease.Close(); err != nil {
			t.Error(err)
		}
	})
}
