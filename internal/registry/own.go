package registry

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// A node may own a release: it brought the build. The release is live, on no side, while
// one of its owners is registered, and drains when the last has gone. Each ownership is a
// separate key, leased with the node's entry. That the release was ever owned, and since
// when it has no owner, are flags in the head.
//
// These keys come and go without a change of the head, on which all other changes of the
// app depend. So to keep nodes from owning a release, a process first marks it in the
// head (flags.Left), and a node that starts to own it commits on the condition that the
// head has no such mark.

// ErrPublished: an app takes releases from publishers or from nodes, not from both.
// Browsers cache hash-named files of published releases for a year, and builds of nodes
// may have other bytes under the same names.
var ErrPublished = fmt.Errorf("%w: its releases are published, and nodes do not bring their own", holdfast.ErrConflict)

// TakeBuilds records that nodes bring builds of an app. An app that does not exist is
// created if it is the first one or create is set; otherwise that is an UnknownError.
// ErrPublished if it has releases that nodes did not bring.
func (r *Registry) TakeBuilds(ctx context.Context, app holdfast.AppName, create bool) error {
	return r.update(ctx, "bring build of app "+app.String(), app, may(create), func(e *edit) error {
		switch {
		case e.head.Local:
		case e.head.Releases > 0:
			return ErrPublished
		default:
			e.head.Local, e.dirty = true, true
		}
		return e.settle()
	})
}

func ownDir(app holdfast.AppName) string { return "holdfast/own/" + app.String() }

// marksLocal reports whether a head may belong to an app whose builds nodes bring. Within
// strings JSON has quotation marks escaped.
func marksLocal(head []byte) bool { return bytes.Contains(head, []byte(`"local":true`)) }

// readOwners adds ownership to a reading, if nodes ever owned releases of the app.
func (r *Registry) readOwners(ctx context.Context, rd *reading) error {
	if !marksLocal(rd.head.Value) {
		return nil
	}
	keys, got, err := r.ownKeys(ctx, ownDir(rd.app))
	if err != nil {
		return err
	}
	rd.owners = make(map[holdfast.ReleaseID]int)
	for _, key := range keys {
		e := got[key]
		id, err := holdfast.ParseReleaseID(strings.TrimSpace(string(e.Value)))
		if err != nil {
			return fmt.Errorf("key %s: %w: %w", key, holdfast.ErrCorrupt, err)
		}
		rd.owners[id]++
		rd.seen = append(rd.seen, seen{key, e.Token})
	}
	return r.readPacks(ctx, rd)
}

// ownKeys reads the keys of the nodes that own releases, as a snapshot: the list
// is from one instant, and keys that were listed and still exist have not changed since.
// If one was deleted in between, its node may have been replaced by another, which is not
// listed.
func (r *Registry) ownKeys(ctx context.Context, dir string) ([]string, map[string]kv.Entry, error) {
	for range tries {
		names, err := r.db.list(ctx, dir)
		if err != nil {
			return nil, nil, err
		}
		keys := make([]string, len(names))
		for i, name := range names {
			keys[i] = dir + "/" + name
		}
		got, err := r.db.get(ctx, keys...)
		if err != nil || len(got) == len(keys) {
			return keys, got, err
		}
	}
	return nil, nil, fmt.Errorf("read owners in %s: %w: they change faster than they can be read", dir, holdfast.ErrUnavailable)
}

// own plans the change of the head for a node that starts to own a release, if the head
// does not already say so: a process that retires the release meanwhile changes the head
// (see Retire).
func (r *Registry) own(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) ([]kv.Op, error) {
	e, err := r.begin(ctx, app, mustExist, nil)
	if err != nil {
		return nil, err
	}
	if more := e.adopt(); more {
		return nil, e.again(ctx)
	}
	if _, err := e.release(ctx, id); err != nil {
		return nil, err
	}
	switch f := e.head.flagsOf(id); {
	case f.Gone != 0:
		return nil, fmt.Errorf("release %s of app %s: %w: publish the same build again to restore it", id, app, holdfast.ErrGone)
	case e.head.Local && f.Owned != 0 && f.Left == 0 && f.Retired == 0:
		return e.plan()
	}
	e.head.Local, e.dirty = true, true
	at := e.stamp(time.Time{}).Unix()
	e.flag(id, func(f *flags) {
		if f.Owned == 0 {
			f.Owned = at
		}
		f.Left, f.Retired = 0, 0
	})
	return e.plan()
}

// unowned reports whether the head says that releases have no owner, and plans to record
// it otherwise. Only then does a node that starts to own one change the head, which
// prevents retirement by a process that has not seen the node.
func (e *edit) unowned(ids []holdfast.ReleaseID) bool {
	said := true
	for _, id := range ids {
		if f := e.head.flagsOf(id); f.Owned != 0 && f.Left == 0 && e.before.owners[id] == 0 {
			at := e.r.clock().Unix()
			e.flag(id, func(f *flags) { f.Left = at })
			said = false
		}
	}
	return said
}

// unnoted are the releases whose ownership in the head is out of date: they have lost all
// owners, or have owners again.
func (h *head) unnoted(owners map[holdfast.ReleaseID]int) (left, owned []holdfast.ReleaseID) {
	for id, f := range h.Flags {
		switch {
		case f.Owned == 0:
		case owners[id] == 0 && f.Left == 0:
			left = append(left, id)
		case owners[id] > 0 && f.Left != 0:
			owned = append(owned, id)
		}
	}
	return left, owned
}

// note plans recording the result of unnoted.
func (e *edit) note() {
	left, owned := e.head.unnoted(e.before.owners)
	if len(left) == 0 && len(owned) == 0 {
		return
	}
	slices.SortFunc(left, func(a, b holdfast.ReleaseID) int { return strings.Compare(a.String(), b.String()) })
	for _, id := range left {
		at := e.r.clock().Unix()
		e.flag(id, func(f *flags) { f.Left = at })
	}
	for _, id := range owned {
		e.flag(id, func(f *flags) { f.Left = 0 })
	}
}
