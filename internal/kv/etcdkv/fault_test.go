package etcdkv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/test/services"
	"github.com/holdfast-web/holdfast/test/soak"
)

// tight is the request timeout of tests that break the cluster.
const tight = 700 * time.Millisecond

// TestLinearizableUnderFaults: short histories of four clients of all three members,
// while members in turn, mostly the leader, are killed or stopped. Every call returns by
// its deadline.
func TestLinearizableUnderFaults(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{Members: 3})
	clients := make([]kv.Driver, 4)
	counts := make([]*counted, len(clients))
	for i := range clients {
		counts[i] = &counted{Driver: open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Timeout: tight})}
		clients[i] = counts[i]
	}
	ctx, stop := context.WithCancel(t.Context())
	var nemesis sync.WaitGroup
	faults := 0
	nemesis.Go(func() {
		for ctx.Err() == nil {
			strike(ctx, t, etcd, faults)
			faults++
		}
	})
	rounds := soak.Calls(1000, 100) // of 100 calls each
	kvtest.Linearizable(t, clients, rounds, 25)
	stop()
	nemesis.Wait()
	total, unknown := 0, 0
	for _, c := range counts {
		total, unknown = total+c.calls, unknown+c.unknown
	}
	t.Logf("%d calls, %d of them commits with an unknown outcome, %d faults", total, unknown, faults)
	if total < rounds*100 || faults < rounds/25+1 || rounds >= 100 && unknown == 0 {
		t.Errorf("%d calls, %d unknown outcomes and %d faults are too few for a test", total, unknown, faults)
	}
}

// strike kills or stops a member, and brings it back.
func strike(ctx context.Context, t *testing.T, etcd *services.Etcd, n int) {
	victim := rand.IntN(3)
	if n%3 != 2 {
		victim = etcd.Leader(t)
	}
	if n%2 == 0 {
		etcd.Kill(victim)
	} else {
		etcd.Pause(victim)
	}
	select { // the length of the outage is random
	case <-time.After(800*time.Millisecond + rand.N(800*time.Millisecond)):
	case <-ctx.Done():
	}
	if n%2 == 0 {
		etcd.Restart(victim)
	} else {
		etcd.Resume(victim)
	}
	select {
	case <-time.After(rand.N(time.Second)):
	case <-ctx.Done():
	}
}

// counted counts calls, and retries commits that are known not to have been applied: the
// suite expects no other failures.
type counted struct {
	*etcdkv.Driver
	calls, unknown int
}

func (c *counted) Get(ctx context.Context, keys ...string) ([]kv.Entry, error) {
	c.calls++
	return retried(ctx, func() ([]kv.Entry, error) { return c.Driver.Get(ctx, keys...) })
}

func (c *counted) List(ctx context.Context, dir string) (keys []string, rev kv.Revision, _ error) {
	c.calls++
	_, err := retried(ctx, func() (_ bool, err error) {
		keys, rev, err = c.Driver.List(ctx, dir)
		return false, err
	})
	return keys, rev, err
}

func (c *counted) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	c.calls++
	receipt, err := retried(ctx, func() (kv.Receipt, error) { return c.Driver.Commit(ctx, ops...) })
	if errors.Is(err, kv.ErrUnknown) {
		c.unknown++
	}
	return receipt, err
}

func retried[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for {
		got, err := call()
		if err == nil || errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrUnknown) || ctx.Err() != nil {
			return got, err
		}
	}
}

// TestHangingServer: while the only server is stopped, every call returns at its
// deadline, and closing the driver does not wait for it either.
func TestHangingServer(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	d, err := etcdkv.Open(t.Context(), etcdkv.Config{Endpoints: etcd.Endpoints, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Lease(t.Context(), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), kv.CreateLeased("n/k", nil, l), kv.Create("k", nil)); err != nil {
		t.Fatal(err)
	}
	hints, err := d.Watch(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	etcd.Pause(0)
	for name, call := range map[string]func(context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := d.Get(ctx, "k"); return err },
		"List":   func(ctx context.Context) error { _, _, err := d.List(ctx, ""); return err },
		"Watch":  func(ctx context.Context) error { _, err := d.Watch(ctx, ""); return err },
		"Lease":  func(ctx context.Context) error { _, err := d.Lease(ctx, time.Minute); return err },
		"Commit": func(ctx context.Context) error { _, err := d.Commit(ctx, kv.Create("lost", nil)); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := call(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s of a stopped server: %v, want DeadlineExceeded", name, err)
		}
		if unknown := errors.Is(err, kv.ErrUnknown); unknown != (name == "Commit") {
			t.Errorf("%s of a stopped server: %v: unknown outcome: %v", name, err, unknown)
		}
	}
	select { // by the holder's own clock
	case <-l.Done():
	case <-time.After(30 * time.Second):
		t.Error("a lease is not suspected though it cannot be renewed")
	}
	if err := d.Close(); err == nil {
		t.Error("Close says that it ended a lease of a server that is stopped")
	}
	if _, ok := <-hints; ok {
		t.Error("a hint from a server that is stopped")
	}
	etcd.Resume(0)
}

// TestNotSent: a commit that could not be sent to any member does not have an unknown
// outcome.
func TestNotSent(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Timeout: tight})
	etcd.Kill(0)
	var err error
	for range 3 { // the first may meet the connection as it breaks
		_, err = d.Commit(t.Context(), kv.Create("k", nil))
	}
	if err == nil || errors.Is(err, kv.ErrUnknown) || errors.Is(err, kv.ErrConflict) {
		t.Errorf("Commit without a server: %v, want a plain failure", err)
	}
	etcd.Restart(0)
	if got, err := d.Get(t.Context(), "k"); err != nil || len(got) != 0 {
		t.Errorf("Get = %v, %v", got, err)
	}
}

// TestCheckNeedsQuorum: a member that is cut off from the others neither reads nor checks
// its local state.
func TestCheckNeedsQuorum(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{Members: 3})
	all := open(t, etcdkv.Config{Endpoints: etcd.Endpoints})
	one := open(t, etcdkv.Config{Endpoints: etcd.Endpoints[:1], Timeout: tight})
	create(t, all, "k", kv.Create("k", nil))
	entries, err := one.Get(t.Context(), "k")
	if err != nil || len(entries) != 1 {
		t.Fatalf("Get = %v, %v", entries, err)
	}
	etcd.Pause(1)
	etcd.Pause(2)
	if receipt, err := one.Commit(t.Context(), kv.Check("k", entries[0].Token)); err == nil {
		t.Errorf("a check of a member without a quorum succeeded: %v", receipt)
	}
	if got, err := one.Get(t.Context(), "k"); err == nil {
		t.Errorf("Get of a member without a quorum = %v", got)
	}
	etcd.Resume(1)
	etcd.Resume(2)
	create(t, all, "other", kv.Create("other", nil)) // there is a leader again
	if _, err := all.Commit(t.Context(), kv.Check("k", entries[0].Token)); err != nil {
		t.Errorf("check after the members came back: %v", err)
	}
}

// TestWatchSurvives: a restart, and a compaction of all revisions that a watch could have
// resumed from, lose no hint.
func TestWatchSurvives(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{Members: 3})
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints[:1], Logger: quiet()})
	other := open(t, etcdkv.Config{Endpoints: etcd.Endpoints[1:]})
	hints, err := d.Watch(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		etcd.Kill(0)
		key := fmt.Sprintf("w/%d", i)
		create(t, other, key, kv.Create(key, nil))
		create(t, other, "else", kv.Create(fmt.Sprintf("else%d", i), nil))
		_, rev, err := other.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		etcd.Call(t, 1, "kv/compaction", map[string]any{"revision": rev, "physical": true})
		etcd.Restart(0)
		await(t, hints, key)
	}
	drain(hints)
	create(t, other, "w/last", kv.Create("w/last", nil))
	await(t, hints, "w/last")
}

func drain(hints <-chan struct{}) {
	select {
	case <-hints:
	default:
	}
}

// TestLeaseRevoked: a lease that another client revoked accepts no more keys, even if its
// holder has not noticed yet.
func TestLeaseRevoked(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints})
	l, err := d.Lease(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Leases []struct{ ID string } }
	if err := json.Unmarshal(etcd.Call(t, 0, "lease/leases", map[string]any{}), &answer); err != nil || len(answer.Leases) != 1 {
		t.Fatalf("leases = %+v, %v", answer, err)
	}
	etcd.Call(t, 0, "lease/revoke", map[string]any{"ID": answer.Leases[0].ID})
	if _, err := d.Commit(t.Context(), kv.CreateLeased("k", nil, l), kv.Create("other", nil)); !errors.Is(err, kv.ErrLeaseLost) {
		t.Errorf("Commit under a lease that was ended: %v, want %v", err, kv.ErrLeaseLost)
	}
	if got, err := d.Get(t.Context(), "k", "other"); err != nil || len(got) != 0 {
		t.Errorf("Get = %v, %v, want nothing", got, err)
	}
}

// TestNoSpace: etcd may report "no space" for a commit that it applied.
func TestNoSpace(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{Flags: []string{"--quota-backend-bytes=4194304"}})
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints})
	acknowledged := 0
	var lost error
	for i := 0; lost == nil && i < 100; i++ {
		_, lost = d.Commit(t.Context(), kv.Create(fmt.Sprintf("f/%03d", i), make([]byte, kv.MaxValue/2)))
		if lost == nil {
			acknowledged++
		}
	}
	if !errors.Is(lost, kv.ErrUnknown) {
		t.Fatalf("commit that does not fit = %v, want %v", lost, kv.ErrUnknown)
	}
	keys, _, err := d.List(t.Context(), "f")
	if err != nil || len(keys) < acknowledged {
		t.Errorf("%d keys are there, %v; %d were acknowledged", len(keys), err, acknowledged)
	}
	t.Logf("%d acknowledged, %d there: %v", acknowledged, len(keys), lost)
	full := open(t, etcdkv.Config{Endpoints: etcd.Endpoints}) // and reads go on
	if got, err := full.Get(t.Context(), keys[0]); err != nil || len(got) != 1 {
		t.Errorf("Get = %d entries, %v", len(got), err)
	}
}
