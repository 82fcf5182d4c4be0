package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// publishLease is a lease with one key under it, which names the manifest. A second key
// with the same content stays when the publisher dies, until its release is added or
// Forget is called. So a manifest in the store without a release can be distinguished
// from one that another registry put there.
type publishLease struct {
	kv.Lease
	key, upload string
	token       kv.Token // of key's creation; no process changes the keys
	info        LeaseInfo
	copying     *copying // nil for a publisher that shares no work with others
}

// BeginPublish leases the manifest: until the lease ends it is a root. The caller closes
// the lease. An app that does not exist is created with default settings if it is the
// first one or create is set; otherwise that is an UnknownError.
func (r *Registry) BeginPublish(ctx context.Context, app holdfast.AppName, manifest holdfast.Digest, create bool) (PublishLease, error) {
	what := "begin to publish to app " + app.String()
	if app.IsZero() || manifest.IsZero() {
		return nil, fmt.Errorf("%s: %w: no app or no manifest", what, holdfast.ErrInvalid)
	}
	err := r.update(ctx, what, app, may(create), func(e *edit) error {
		return e.settle()
	})
	if err != nil {
		return nil, err
	}
	lease, err := r.db.lease(ctx, r.leaseTTL)
	if err != nil {
		return nil, wrap(what, err)
	}
	p := &publishLease{Lease: lease, info: LeaseInfo{ID: rand.Text(), App: app, Manifest: manifest, Started: r.clock().UTC()}}
	p.key, p.upload = leaseDir+"/"+p.info.ID, uploadDir+"/"+p.info.ID
	if err := p.create(ctx, r); err != nil {
		return nil, errors.Join(wrap(what, err), lease.Close())
	}
	return p, nil
}

// create creates the two keys.
func (p *publishLease) create(ctx context.Context, r *Registry) error {
	text, err := json.Marshal(p.info)
	if err != nil {
		return fmt.Errorf("encode key %s: %w", p.upload, err)
	}
	p.token, err = r.createLeased(ctx, p.key, p.info, p.Lease, kv.Create(p.upload, text))
	return err
}

// createLeased creates a key with a random name under lease, in one commit with further
// operations, and returns its token.
func (r *Registry) createLeased(ctx context.Context, key string, value any, lease kv.Lease, further ...kv.Op) (kv.Token, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return kv.Token{}, fmt.Errorf("encode key %s: %w", key, err)
	}
	var token kv.Token
	err = r.retry(ctx, "create key "+key, func(unsure bool) error {
		receipt, err := r.db.apply(ctx, slices.Concat([]kv.Op{kv.CreateLeased(key, text, lease)}, further)...)
		if unsure && errors.Is(err, kv.ErrConflict) {
			return nil // by the attempt whose outcome was lost: the name is unique
		}
		if err == nil {
			token = receipt.Tokens[0]
		}
		return err
	})
	if err != nil || !token.IsZero() {
		return token, err
	}
	got, err := r.db.get(ctx, key)
	if e, ok := got[key]; ok || err != nil {
		return e.Token, err
	}
	return kv.Token{}, fmt.Errorf("%w: key %s vanished", holdfast.ErrLeaseLost, key)
}

// Leases returns the publishes in progress, by ID.
func (r *Registry) Leases(ctx context.Context) ([]LeaseInfo, error) {
	return readDir[LeaseInfo](ctx, r, leaseDir)
}

// Uploads returns the publishes that have begun without adding a release yet, by ID:
// those in progress and those that were abandoned or killed.
func (r *Registry) Uploads(ctx context.Context) ([]LeaseInfo, error) {
	return readDir[LeaseInfo](ctx, r, uploadDir)
}

// Forget deletes the records of publishes that were abandoned or killed.
func (r *Registry) Forget(ctx context.Context, uploads []LeaseInfo) error {
	keys := make([]string, len(uploads))
	for i, u := range uploads {
		keys[i] = uploadDir + "/" + u.ID
	}
	return r.retry(ctx, "forget publishes", func(bool) error {
		got, err := r.db.get(ctx, keys...)
		if err != nil {
			return err
		}
		for key, e := range got {
			if err := r.db.commit(ctx, kv.Delete(key, e.Token)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readDir returns the values of the keys in dir, in order. A key that ends between the
// two reads is omitted.
func readDir[T any](ctx context.Context, r *Registry, dir string) ([]T, error) {
	r = r.grouped()
	names, err := r.db.list(ctx, dir)
	if err != nil {
		return nil, wrap("list "+dir, err)
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = dir + "/" + name
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, wrap("read "+dir, err)
	}
	var values []T
	for _, key := range keys {
		e, ok := got[key]
		if !ok {
			continue
		}
		var v T
		if err := decode(e, &v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// Close gives up the leases: that of the copier first, so that those that wait go on.
func (p *publishLease) Close() error {
	var err error
	if p.copying != nil {
		err = p.copying.lease.Close()
	}
	return errors.Join(err, p.Lease.Close())
}

// holds reports whether the lease still holds, according to a read of its key.
func (p *publishLease) holds(got map[string]kv.Entry) bool { return got[p.key].Token == p.token }

func leaseOf(lease PublishLease, rel holdfast.Release) (*publishLease, error) {
	p, ok := lease.(*publishLease)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: the lease is not one of this registry", holdfast.ErrInvalid)
	case p.info.App != rel.App || p.info.Manifest != rel.Manifest:
		return nil, fmt.Errorf("%w: the lease is for manifest %s of app %s", holdfast.ErrInvalid, p.info.Manifest.Short(), p.info.App)
	case rel.ID.IsZero() || rel.Inventory.IsZero():
		return nil, fmt.Errorf("%w: a release needs an ID and an inventory", holdfast.ErrInvalid)
	}
	return p, nil
}
