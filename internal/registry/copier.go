package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	// copierTTL is about how long the others wait for a copier that was killed.
	copierTTL = 3 * time.Second
	// copierPoll is how often a waiting publisher looks at the copier without a hint.
	copierPoll = 5 * time.Second
)

// Copier is the one of several publishers of a build that encodes and stores it. Its
// entry ends with a lease. The entry saves work and fences nothing: AddRelease
// decides, so two copiers at a time cost processor time and no correctness.
type Copier struct {
	LeaseInfo
	By string `json:"by,omitempty"` // who it is, for people
	CopierProgress
}

// CopierProgress is how far a copier is.
type CopierProgress struct {
	Files     int `json:"files"` // distinct contents
	FilesDone int `json:"filesDone"`
	// Steps counts everything that the copier finished, down to a part of a file: a
	// copier whose count stands still is stuck.
	Steps int64 `json:"steps"`
}

// CopyingError is what BeginCopy returns while another publisher is the copier.
type CopyingError struct{ Copier Copier }

func (e *CopyingError) Error() string {
	return fmt.Sprintf("%s is publishing the same build to app %s", e.Copier.who(), e.Copier.App)
}

// Is reports that it is a conflict: the work is in the hands of another.
func (e *CopyingError) Is(target error) bool { return target == holdfast.ErrConflict }

func (c *Copier) who() string {
	if c.By == "" {
		return "another publisher"
	}
	return c.By
}

// copying is what a copier holds.
type copying struct {
	r     *Registry
	lease kv.Lease // of its own: a short one, which may be lost without harm
	key   string
	token kv.Token // of the last write; zero if unknown
	entry Copier
}

// BeginCopy is BeginPublish for publishers that share a store: one of those that publish
// the same build to the same app gets the lease and becomes the copier; all others get a
// *CopyingError. by names the caller, for people.
func (r *Registry) BeginCopy(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, create bool, by string) (PublishLease, error) {
	key := copierKey(app, manifest)
	switch e, err := r.copier(ctx, key); {
	case err != nil:
		return nil, err
	case e != nil: // costs no lease, which is a session on some services
		return nil, &CopyingError{e.Copier}
	}
	lease, err := r.db.lease(ctx, copierTTL)
	if err != nil {
		return nil, wrap("begin to publish to app "+app.String(), err)
	}
	info := LeaseInfo{ID: rand.Text(), App: app, Manifest: manifest, Started: r.clock().UTC()}
	c := &copying{r: r, lease: lease, key: key, entry: Copier{LeaseInfo: info, By: by}}
	if err := c.claim(ctx); err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	p, err := r.BeginPublish(ctx, app, manifest, create)
	if err != nil {
		return nil, errors.Join(err, lease.Close())
	}
	p.(*publishLease).copying = c
	return p, nil
}

// claim creates the entry.
func (c *copying) claim(ctx context.Context) error {
	text, err := json.Marshal(c.entry)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", c.key, err)
	}
	return c.r.retry(ctx, "begin to publish to app "+c.entry.App.String(), func(bool) error {
		e, err := c.r.copier(ctx, c.key)
		switch {
		case err != nil:
			return err
		case e == nil:
			receipt, err := c.r.db.apply(ctx, kv.CreateLeased(c.key, text, c.lease))
			if err == nil {
				c.token = receipt.Tokens[0]
			}
			return err
		case e.ID == c.entry.ID: // by the attempt whose outcome was lost
			c.token = e.token
			return nil
		}
		return &CopyingError{e.Copier}
	})
}

// Report says how far the copier is. It does nothing for a publisher that is none, and
// ErrConflict means that another publisher found this one stuck: it may finish all the
// same. Report must not be called concurrently.
func (p *publishLease) Report(ctx context.Context, now CopierProgress) error {
	c := p.copying
	if c == nil || c.token.IsZero() {
		return nil
	}
	c.entry.CopierProgress = now
	text, err := json.Marshal(c.entry)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", c.key, err)
	}
	receipt, err := c.r.db.apply(ctx, kv.Set(c.key, text, c.token))
	if errors.Is(err, kv.ErrUnknown) {
		return c.reread(ctx)
	}
	if err != nil {
		return wrap("report progress", err)
	}
	c.token = receipt.Tokens[0]
	return nil
}

// reread finds out what became of a report whose outcome was lost.
func (c *copying) reread(ctx context.Context) error {
	e, err := c.r.copier(ctx, c.key)
	if err != nil {
		return err
	}
	if e == nil || e.ID != c.entry.ID {
		c.token = kv.Token{}
		return nil
	}
	c.token = e.token
	return nil
}

// copierEntry is a copier as a read saw it.
type copierEntry struct {
	Copier
	token kv.Token
}

// copier reads an entry; nil if there is none.
func (r *Registry) copier(ctx context.Context, key string) (*copierEntry, error) {
	got, err := r.db.get(ctx, key)
	if err != nil {
		return nil, wrap("read copier", err)
	}
	e, ok := got[key]
	if !ok {
		return nil, nil
	}
	c := &copierEntry{token: e.Token}
	return c, decode(e, &c.Copier)
}

// AwaitCopier waits until the build has no copier. If the copier finishes nothing for as
// long as patience, by this machine's clock, its entry is removed and the wait is over.
// tell gets the copier whenever it reported something. An unreachable registry is an
// error after the same time.
func (r *Registry) AwaitCopier(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, patience time.Duration, tell func(Copier)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hints, err := r.db.watch(ctx, copierDir)
	if err != nil {
		return wrap("watch "+copierDir, err)
	}
	w := copierWait{r: r, key: copierKey(app, manifest), patience: patience, since: time.Now(), tell: tell}
	tick := time.NewTicker(min(copierPoll, patience))
	defer tick.Stop()
	for {
		if over, err := w.look(ctx); over || err != nil {
			return err
		}
		select {
		case _, ok := <-hints:
			if !ok && ctx.Err() == nil {
				return fmt.Errorf("wait for the copier: %w: the registry was closed", holdfast.ErrUnavailable)
			}
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for the copier: %w", err)
		}
	}
}

// copierWait is one wait for a copier.
type copierWait struct {
	r        *Registry
	key      string
	patience time.Duration
	since    time.Time // when something was last seen to change
	seen     Copier
	tell     func(Copier)
}

// look reads the entry and decides whether the wait is over.
func (w *copierWait) look(ctx context.Context) (over bool, err error) {
	e, err := w.r.copier(ctx, w.key)
	stuck := time.Since(w.since) >= w.patience
	switch {
	case errors.Is(err, holdfast.ErrUnavailable) && !stuck:
		return false, nil
	case err != nil:
		return false, err
	case e == nil:
		return true, nil
	case e.ID != w.seen.ID || e.CopierProgress != w.seen.CopierProgress:
		w.since, w.seen = time.Now(), e.Copier
		w.tell(e.Copier)
		return false, nil
	case !stuck:
		return false, nil
	}
	w.r.log.WarnContext(ctx, "the copier made no progress; another publisher may take over", "app", e.App, "by", e.By, "after", w.patience)
	// A conflict means that it reported something after all, or is gone.
	if err := w.r.db.commit(ctx, kv.Delete(w.key, e.token)); err != nil && !errors.Is(err, holdfast.ErrConflict) && !errors.Is(err, kv.ErrUnknown) {
		return false, wrap("take over from a copier", err)
	}
	return false, nil
}
