package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// A node owns any number of packs of an app by one key, which lists them and is leased
// with the node's entry. Otherwise owning is as for the builds that nodes bring. The key
// changes only together with the app's head, so that nobody has to watch it.

// packsValue is the value of such a key.
type packsValue struct {
	Releases []holdfast.ReleaseID `json:"releases"` // sorted
}

// packsEntry is a key as a read saw it.
type packsEntry struct {
	packsValue
	token kv.Token
}

func packsKey(app holdfast.AppName, node string) string {
	return packsDir + "/" + app.String() + "/" + node
}

// marksPacks is as marksLocal.
func marksPacks(head []byte) bool { return bytes.Contains(head, []byte(`"packs":true`)) }

// readPacks adds the owners of packs to a reading, if nodes ever owned packs of the app.
func (r *Registry) readPacks(ctx context.Context, rd *reading) error {
	if !marksPacks(rd.head.Value) {
		return nil
	}
	keys, got, err := r.ownKeys(ctx, packsDir+"/"+rd.app.String())
	if err != nil {
		return err
	}
	rd.packs = make(map[string]packsEntry, len(keys))
	for _, key := range keys {
		e := got[key]
		p := packsEntry{token: e.Token}
		if err := decode(e, &p.packsValue); err != nil {
			return err
		}
		_, node := kv.Split(key)
		rd.packs[node] = p
		for _, id := range p.Releases {
			rd.owners[id]++
		}
		rd.seen = append(rd.seen, seen{key, e.Token})
	}
	return nil
}

// addOwners says of packs which nodes own them.
func addOwners(infos []ReleaseInfo, packs map[string]packsEntry) {
	if len(packs) == 0 {
		return
	}
	owners := make(map[holdfast.ReleaseID][]string)
	for node, p := range packs {
		for _, id := range p.Releases {
			owners[id] = append(owners[id], node)
		}
	}
	for i := range infos {
		if by := owners[infos[i].ID]; by != nil {
			slices.Sort(by)
			infos[i].OwnedBy = by
		}
	}
}

// SetPacks makes the node an owner of exactly these packs of an app. A pack is live while
// it has an owner, and drains from the moment the last one gives it up. It does nothing
// if the node owns just these already.
//
// Errors: ErrNotFound, and ErrGone for a release that was retired or removed meanwhile:
// publish it again. ErrLeaseLost if the entry has vanished.
func (n *NodeEntry) SetPacks(ctx context.Context, app holdfast.AppName, packs []holdfast.ReleaseID) error {
	packs = slices.Clone(packs)
	slices.SortFunc(packs, compareIDs)
	s := &packSetting{node: n, app: app, packs: slices.Compact(packs)}
	what := "own packs of app " + app.String()
	return n.r.update(ctx, what, app, mustExist, func(e *edit) error { return s.plan(ctx, e) })
}

// packSetting is one call of SetPacks.
type packSetting struct {
	node  *NodeEntry
	app   holdfast.AppName
	packs []holdfast.ReleaseID
}

func (s *packSetting) plan(ctx context.Context, e *edit) error {
	id := s.node.info.ID
	before, owns := e.before.packs[id]
	if slices.Equal(before.Releases, s.packs) {
		return nil
	}
	for _, pack := range s.packs {
		if _, known := slices.BinarySearchFunc(before.Releases, pack, compareIDs); known {
			continue
		}
		if err := e.beginToOwn(ctx, pack); err != nil {
			return err
		}
	}
	for _, pack := range before.Releases {
		_, kept := slices.BinarySearchFunc(s.packs, pack, compareIDs)
		if !kept && e.before.owners[pack] == 1 {
			e.flag(pack, func(f *flags) { f.Left = e.r.clock().Unix() })
		}
	}
	text, err := json.Marshal(packsValue{s.packs})
	if err != nil {
		return fmt.Errorf("encode packs: %w", err)
	}
	key := packsKey(s.app, id)
	switch {
	case !owns:
		e.ops = append(e.ops, kv.CreateLeased(key, text, s.node.lease))
	case len(s.packs) == 0:
		e.ops = append(e.ops, kv.Delete(key, before.token))
	default:
		e.ops = append(e.ops, kv.Set(key, text, before.token))
	}
	e.head.Packs, e.dirty = true, true
	return nil
}

// beginToOwn plans that a pack has an owner.
func (e *edit) beginToOwn(ctx context.Context, id holdfast.ReleaseID) error {
	rel, err := e.release(ctx, id)
	switch f := e.head.flagsOf(id); {
	case err != nil:
		return err
	case rel.Pack.IsZero():
		return fmt.Errorf("release %s: %w: it is no pack", id, holdfast.ErrInvalid)
	case f.Gone != 0 || f.Retired != 0:
		return fmt.Errorf("release %s: %w: publish it again", id, holdfast.ErrGone)
	case f.Owned != 0 && f.Left == 0:
		return nil
	}
	at := e.r.clock().Unix()
	e.flag(id, func(f *flags) {
		if f.Owned == 0 {
			f.Owned = at
		}
		f.Left = 0
	})
	return nil
}
