package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// LeaderInfo is the leader's description of itself.
type LeaderInfo struct {
	Term    string    `json:"term"` // random, new for each election won
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Version string    `json:"version"` // of the program
	Since   time.Time `json:"since"`   // by the leader's clock
	// Epoch is the creation revision of the leader's key. It is not stored.
	Epoch int64 `json:"epoch,omitempty"`
}

// electionSpread is the window over which candidates spread their reaction to a lost
// leader: most then find a new one.
const electionSpread = 200 * time.Millisecond

// errTaken: another process is the leader.
var errTaken = errors.New("another leads")

// Campaign waits until this process is elected, or until ctx ends or the registry is
// unreachable. At any time at most one epoch, the latest, can change the registry; the
// winner resigns with Close. Campaign sets the term and the time of info.
func (r *Registry) Campaign(ctx context.Context, info LeaderInfo) (*Leadership, error) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, _ := kv.Split(leaderKey)
	hints, err := r.db.watch(watching, dir)
	for err == nil {
		var l *Leadership
		if l, err = r.stand(ctx, info); err == nil {
			return l, nil
		}
		if errors.Is(err, errTaken) {
			err = r.vacancy(ctx, hints)
		}
	}
	return nil, wrap("campaign for leadership", err)
}

// vacancy waits until the leader's key may be vacant: for a hint, or, since hints are
// unreliable, some time.
func (r *Registry) vacancy(ctx context.Context, hints <-chan struct{}) error {
	poll := time.NewTimer(r.leaderTTL/2 + mathrand.N(r.leaderTTL/2))
	defer poll.Stop()
	select {
	case _, open := <-hints:
		if !open && ctx.Err() == nil {
			return fmt.Errorf("%w: the watch ended", holdfast.ErrUnavailable)
		}
		_ = wait.For(ctx, mathrand.N(electionSpread))
	case <-poll.C:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", holdfast.ErrUnavailable, ctx.Err())
	}
	return nil
}

// stand tries once to become the leader. On some services a lease costs a session, so it
// creates none before the key was seen to be vacant.
func (r *Registry) stand(ctx context.Context, info LeaderInfo) (*Leadership, error) {
	got, err := r.db.get(ctx, leaderKey, registryKey)
	if err != nil {
		return nil, err
	}
	if err := r.checkIdentity(got[registryKey]); err != nil {
		return nil, err
	}
	if _, taken := got[leaderKey]; taken {
		return nil, errTaken
	}
	lease, err := r.db.lease(ctx, r.leaderTTL)
	if err != nil {
		return nil, err
	}
	info.Term, info.Since, info.Epoch = rand.Text(), r.clock().UTC(), 0
	l := &Leadership{lease: lease, info: info}
	if err := r.retry(ctx, "enter", func(bool) error { return l.campaign(ctx, r.db) }); err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	led := *r
	led.db.fence = l
	l.registry = &led
	return l, nil
}

// Leadership is one epoch as the elected node.
type Leadership struct {
	lease    kv.Lease
	registry *Registry
	info     LeaderInfo
	fence    []kv.Op
}

// campaign creates the leader's key, or finds that an attempt with a lost outcome did.
// The epoch's key is set by every election and never deleted, so its token never recurs;
// on some services that of a leased key might.
func (l *Leadership) campaign(ctx context.Context, d db) error {
	got, err := d.get(ctx, leaderKey, epochKey)
	if err != nil {
		return err
	}
	leader, taken := got[leaderKey]
	epoch, numbered := got[epochKey]
	if taken {
		return l.entered(leader, epoch)
	}
	text, err := json.Marshal(l.info)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", leaderKey, err)
	}
	next := kv.Create(epochKey, []byte(l.info.Term))
	if numbered {
		next = kv.Set(epochKey, []byte(l.info.Term), epoch.Token)
	}
	receipt, err := d.apply(ctx, kv.CreateLeased(leaderKey, text, l.lease), next)
	if err != nil {
		return err
	}
	l.begin(receipt.Revision, receipt.Tokens[0], receipt.Tokens[1])
	return nil
}

// entered checks whether this process is the leader. The two keys may have been read at
// different instants; if they name the same epoch, one commit wrote both.
func (l *Leadership) entered(leader, epoch kv.Entry) error {
	var info LeaderInfo
	if err := decode(leader, &info); err != nil {
		return err
	}
	if info.Term != l.info.Term {
		return errTaken
	}
	if leader.Created != epoch.Modified {
		return fmt.Errorf("%w: another was elected already", holdfast.ErrLeaseLost)
	}
	l.begin(leader.Created, leader.Token, epoch.Token)
	return nil
}

func (l *Leadership) begin(at kv.Revision, leader, epoch kv.Token) {
	l.info.Epoch = int64(at)
	l.fence = []kv.Op{kv.Check(leaderKey, leader), kv.Check(epochKey, epoch)}
}

// Info returns the leader's registered description.
func (l *Leadership) Info() LeaderInfo { return l.info }

// Epoch returns the creation revision of the leader's key; later epochs have higher ones.
func (l *Leadership) Epoch() int64 { return l.info.Epoch }

// Done is closed when the leadership has ended or may have: as soon as the connection is
// in doubt, well before another process can be elected.
func (l *Leadership) Done() <-chan struct{} { return l.lease.Done() }

// Registry returns the registry for changes in the leader's name. Each commit depends on
// the epoch: after its end, commits change nothing and fail with ErrLeaseLost, however
// late they arrive. A change that fails this way may still have been made if an earlier
// answer of the driver was lost.
func (l *Leadership) Registry() *Registry { return l.registry }

// Verify asks the registry whether the epoch is still current; ErrLeaseLost if not. Work
// outside the registry that relies on it takes a risk: the epoch may end meanwhile.
func (l *Leadership) Verify(ctx context.Context) error {
	return wrap("verify epoch", l.verify(ctx, l.registry.db))
}

// Close resigns. It may be called twice.
func (l *Leadership) Close() error { return mapped(l.lease.Close()) }

// suspected returns an error once the leadership may have ended.
func (l *Leadership) suspected() error {
	select {
	case <-l.Done():
		return fmt.Errorf("%w: epoch %d ended, or may have", holdfast.ErrLeaseLost, l.Epoch())
	default:
		return nil
	}
}

func (l *Leadership) verify(ctx context.Context, d db) error {
	if err := l.suspected(); err != nil {
		return err
	}
	_, err := bounded(ctx, d.timeout, func(ctx context.Context) (kv.Receipt, error) {
		return d.driver.Commit(ctx, l.fence...)
	})
	if errors.Is(err, kv.ErrConflict) {
		return fmt.Errorf("%w: epoch %d is over", holdfast.ErrLeaseLost, l.Epoch())
	}
	return mapped(err)
}

// Leader returns the elected node's description; ok is false while there is no leader.
func (r *Registry) Leader(ctx context.Context) (info LeaderInfo, ok bool, err error) {
	got, err := r.db.get(ctx, leaderKey)
	e, ok := got[leaderKey]
	if err != nil || !ok {
		return LeaderInfo{}, false, wrap("read leader", err)
	}
	if err := decode(e, &info); err != nil {
		return LeaderInfo{}, false, err
	}
	info.Epoch = int64(e.Created)
	return info, true, nil
}
