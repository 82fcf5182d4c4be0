package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Options of a Registry. The zero value is ready for use.
type Options struct {
	Clock   func() time.Time // of stamps; time.Now if nil
	ClockID clock.ID         // identifies that clock; this machine's if empty
	// TrustClock permits changes although other clocks disagree.
	TrustClock bool
	Logger     *slog.Logger  // discards if nil
	Timeout    time.Duration // of each call of the driver; 10 s if zero
	LeaseTTL   time.Duration // of publishers' leases; 30 s if zero
	// LeaderTTL is how long after the leader vanished another can be elected; 10 s if
	// zero.
	LeaderTTL time.Duration
}

// Registry is one open registry. All methods may be called concurrently.
//
// Errors wrap holdfast.ErrNotFound, ErrExists, ErrConflict, ErrInvalid, ErrGone or
// ErrLeaseLost as documented, ErrCorrupt when a key contains data that this package never
// wrote, and ErrUnavailable when the driver failed. A change that fails with
// ErrUnavailable may have been made.
type Registry struct {
	db        db
	id        string
	clock     func() time.Time
	log       *slog.Logger
	leaseTTL  time.Duration
	leaderTTL time.Duration
	cache     *recordCache
	problems  *problems
	work      *clockwork
}

// Open opens the registry in d; an empty database gets a random identity.
func Open(ctx context.Context, d kv.Driver, o Options) (*Registry, error) {
	r := &Registry{
		db:        db{driver: d, timeout: o.Timeout},
		clock:     o.Clock,
		log:       o.Logger,
		leaseTTL:  o.LeaseTTL,
		leaderTTL: o.LeaderTTL,
		cache:     &recordCache{apps: make(map[holdfast.AppName]*appRecords)},
		problems:  &problems{known: make(map[string]string)},
	}
	r.work = &clockwork{id: o.ClockID, trust: o.TrustClock}
	if r.work.id == "" {
		r.work.id = hostClock()
	}
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.db.timeout <= 0 {
		r.db.timeout = 10 * time.Second
	}
	if r.leaseTTL <= 0 {
		r.leaseTTL = 30 * time.Second
	}
	if r.leaderTTL <= 0 {
		r.leaderTTL = 10 * time.Second
	}
	return r, r.retry(ctx, "open registry", func(bool) error { return r.identify(ctx) })
}

// grouped returns r for one piece of work: its reads need only be as new as the beginning
// of the work.
func (r *Registry) grouped() *Registry {
	g := *r
	g.db = r.db.group()
	return &g
}

// ID returns the registry's identity.
func (r *Registry) ID() string { return r.id }

type identity struct {
	ID string `json:"id"`
}

// identify reads the identity, or writes one if there is none: if several processes do so
// concurrently, one wins, and all read its identity.
func (r *Registry) identify(ctx context.Context) error {
	got, err := r.db.get(ctx, registryKey)
	if err != nil {
		return err
	}
	if e, ok := got[registryKey]; ok {
		id, err := parseIdentity(e)
		r.id = id
		return err
	}
	text, err := json.Marshal(identity{rand.Text()})
	if err != nil {
		return fmt.Errorf("encode registry identity: %w", err)
	}
	if err := r.db.commit(ctx, kv.Create(registryKey, text)); err != nil && !errors.Is(err, kv.ErrConflict) {
		return err
	}
	return errAgain
}

func parseIdentity(e kv.Entry) (string, error) {
	var i identity
	if err := decode(e, &i); err != nil {
		return "", err
	}
	if i.ID == "" {
		return "", fmt.Errorf("key %s: %w: no identity", e.Key, holdfast.ErrCorrupt)
	}
	return i.ID, nil
}

// checkIdentity makes sure that the registry was not replaced by another one.
func (r *Registry) checkIdentity(e kv.Entry) error {
	if e.Key == "" {
		return fmt.Errorf("%w: the registry %s was emptied: restore it, or start all nodes afresh", holdfast.ErrCorrupt, r.id)
	}
	id, err := parseIdentity(e)
	if err == nil && id != r.id {
		err = fmt.Errorf("%w: the registry was %s and is %s now: an operator has to decide which one is meant", holdfast.ErrConflict, r.id, id)
	}
	return err
}
