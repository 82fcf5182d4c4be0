package leasekeeper

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

const ttl = 12 * time.Second

// keeper is a service that grants one lease.
type keeper struct {
	Keeper
	mu                        sync.Mutex // guards what follows
	renewals, failures, ended int
	stopped                   bool
	err                       error // error returned by renewals
	hang                      bool  // renewals hang until their context ends
}

func (k *keeper) renew(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renewals++
	if k.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return k.err
}

// set changes how the service behaves.
func (k *keeper) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

func (k *keeper) keep(t *testing.T) *Lease {
	t.Helper()
	l, err := k.Keep(t.Context(), Terms{
		TTL: ttl, Begun: time.Now(),
		Renew:   k.renew,
		Failed:  func(error) { k.failures++ },
		Renewed: func() { k.stopped = true },
		End:     func() error { k.ended++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (k *keeper) want(t *testing.T, l *Lease, done bool) {
	t.Helper()
	synctest.Wait()
	select {
	case <-l.Done():
		if !done {
			t.Error("the lease is suspected")
		}
	default:
		if done {
			t.Error("the lease is not suspected")
		}
	}
}

func (k *keeper) close(t *testing.T) {
	t.Helper()
	if first, err := k.Close(func() {}); !first || err != nil {
		t.Errorf("Close = %v, %v", first, err)
	}
	if first, err := k.Close(func() {}); first || err != nil {
		t.Errorf("second Close = %v, %v", first, err)
	}
	if k.ended != 1 || !k.stopped {
		t.Errorf("the lease was ended %d times, renewals stopped: %v", k.ended, k.stopped)
	}
}

// TestRenewal: a lease lasts as long as it is renewed every third of its time, even after
// the context it was started with ends.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keeper
		l := k.keep(t)
		time.Sleep(10 * ttl)
		k.want(t, l, false)
		if k.renewals < 29 || k.renewals > 31 {
			t.Errorf("%d renewals in ten times its life", k.renewals)
		}
		k.close(t)
		k.want(t, l, true)
	})
}

// TestSuspicion: a lease that cannot be renewed is suspected a quarter of its time before
// the service may end it, even when the service does not answer at all.
func TestSuspicion(t *testing.T) {
	for name, fail := range map[string]func(*keeper){
		"failing":  func(k *keeper) { k.set(func() { k.err = errors.New("down") }) },
		"hanging":  func(k *keeper) { k.set(func() { k.hang = true }) },
		"vanished": func(k *keeper) { k.Vanish() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var k keeper
				l := k.keep(t)
				time.Sleep(ttl/3 + time.Millisecond) // renewed once, a third of ttl ago
				fail(&k)
				time.Sleep(ttl*3/4 - 2*time.Millisecond)
				k.want(t, l, false)
				time.Sleep(2 * time.Millisecond)
				k.want(t, l, true)
				k.close(t)
			})
		})
	}
}

// TestLost: a lease that the service has forgotten is not renewed again.
func TestLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keeper{err: kv.ErrLeaseLost}
		l := k.keep(t)
		time.Sleep(ttl / 2)
		k.want(t, l, true)
		if k.renewals != 1 || k.failures != 0 {
			t.Errorf("%d renewals, %d failures to tell", k.renewals, k.failures)
		}
		k.close(t)
	})
}

// TestClosed: Close interrupts running calls, waits for them, and rejects new ones.
func TestClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Keeper
		ctx, leave, err := h.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left := false
		go func() {
			<-ctx.Done()
			time.Sleep(time.Second)
			left = true
			leave()
		}()
		if _, err := h.Close(func() {}); err != nil || !left || !errors.Is(context.Cause(ctx), kv.ErrClosed) {
			t.Errorf("Close = %v, call over: %v, because of %v", err, left, context.Cause(ctx))
		}
		if _, _, err := h.Enter(t.Context()); !errors.Is(err, kv.ErrClosed) {
			t.Errorf("Enter = %v", err)
		}
		if _, err := h.Keep(t.Context(), Terms{TTL: ttl}); !errors.Is(err, kv.ErrClosed) {
			t.Errorf("Keep = %v", err)
		}
	})
}
