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

// A node may own a release: it brought the build with it. The release is live while
// one of its owners is registered, on no side, and drains when the last has gone.
// That a node owns it is a key of its own, leased with the node's entry; that the
// release was ever owned, and since when nobody owns it, are flags in the head.
//
// These keys come and go without a change of the head, which all other changes of the
// app depend on. So one that nodes must not own has to be given up in the head first
// (flags.Left), and a node that begins to own it commits on the condition that the head
// says otherwise.

// ErrPublished: an app takes releases from publishers or from nodes, not from both.
// Browsers cache hash-named files of published releases for a year, and builds of nodes
// may have other bytes under the same names.
var ErrPublished = fmt.Errorf("%w: its releases are published, and nodes do not bring their own", holdfast.ErrConflict)

// TakeBuilds notes that nodes bring builds of an app. An app that does not exist is made
// if it is the first one or create is set; else that is an UnknownError.
// ErrPublished if it has releases that they did not bring.
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

// marksLocal reports whether a head may be that of an app whose builds nodes bring. Within strings JSON has quotation marks escaped.
func marksLocal(head []byte) bool { return bytes.Contains(head, []byte(`"local":true`)) }

// readOwners adds to a reading who owns what, if anybody ever did.
func (r *Registry) readOwners(ctx context.Context, rd *reading) error {
	if !marksLocal(rd.head.Value) {
		return nil
	}
	keys, got, err := r.ownKeys(ctx, rd.app)
	if err != nil || len(keys) == 0 {
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
	return nil
}

// ownKeys reads the keys of the nodes that own something of app, as one instant had
// them: the list is of one, and what was listed and is still there has not changed since.
// If one has gone in between, its node may have made way for another, which is not listed.
func (r *Registry) ownKeys(ctx context.Context, app holdfast.AppName) ([]string, map[string]kv.Entry, error) {
	dir := ownDir(app)
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
	return nil, nil, fmt.Errorf("read owners of app %s: %w: they change faster than they can be read", app, holdfast.ErrUnavailable)
}

// own plans what the head of an app has to say when a node begins to own a release of
// it, and that it says so when the node does: who retires the release in between changes
// the head (see Retire).
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

// unowned reports whether the head says of releases that nobody owns them, and plans to
// have it say so. Only then a node that begins to own one changes the head, and so keeps
// it from being retired by who has not seen that node.
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

// unnoted are the releases of which the head does not say yet that nobody owns them
// any more, or says so although somebody does.
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

// note plans what unnoted finds.
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
