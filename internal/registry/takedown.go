package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// A takedown concerns bytes, not a release: one key for all apps lists the bytes that no
// node may serve or keep. Every refresh reads it together with the heads, so it is short;
// the requester and the reason are stored beside it, under one key per digest. The commit
// of a takedown also ends a generation of object names: if the bytes are ever allowed
// again and stored, they get names other than those being deleted.

const takedownsFormat = 1

// takedownsText is the value of the key.
type takedownsText struct {
	Format int                 `json:"format"`
	Seq    int64               `json:"seq"`
	Down   []holdfast.Takedown `json:"down,omitempty"`
}

// TakedownInfo is the record of one takedown: the requester, the reason, and the releases
// that had the bytes.
type TakedownInfo struct {
	Digest holdfast.Digest `json:"digest"`
	At     time.Time       `json:"at"`
	Reason
	Found []TakedownFound `json:"found,omitempty"` // not all of them, if there were very many
	More  int             `json:"more,omitempty"`  // how many were omitted
	// AllowedAt is when the bytes were allowed again; zero while they are not.
	AllowedAt time.Time `json:"allowedAt,omitzero"`
	AllowedBy string    `json:"allowedBy,omitempty"`
}

// TakedownFound is a release that has the bytes.
type TakedownFound struct {
	App     holdfast.AppName   `json:"app"`
	Release holdfast.ReleaseID `json:"release"`
	Paths   []string           `json:"paths"` // the first few
}

// Limits of a takedown's info, so that it fits into a commit.
const (
	foundMost = 50 // releases
	pathsMost = 3  // of each
	pathMost  = 200
)

// takeMost bounds the digests of one commit.
const takeMost = 10

// parseTakedowns reads the key's value; nil if nothing was ever taken down.
func parseTakedowns(e kv.Entry) (*holdfast.Takedowns, error) {
	if e.Key == "" {
		return nil, nil
	}
	var text takedownsText
	if err := decode(e, &text); err != nil {
		return nil, err
	}
	if text.Format != takedownsFormat {
		return nil, fmt.Errorf("key %s: %w: format %d was written by another version of the program, this one knows %d",
			e.Key, holdfast.ErrInvalid, text.Format, takedownsFormat)
	}
	if text.Seq == 0 {
		return nil, nil
	}
	down, err := holdfast.NewTakedowns(text.Seq, text.Down)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w: %w", e.Key, holdfast.ErrCorrupt, err)
	}
	return down, nil
}

// setTakedowns returns the operation that writes down to the key.
func setTakedowns(seq int64, down []holdfast.Takedown, before kv.Entry) (kv.Op, error) {
	if _, err := holdfast.NewTakedowns(seq, down); err != nil {
		return kv.Op{}, err
	}
	return set(takedownsKey, takedownsText{takedownsFormat, seq, down}, before)
}

// set returns the operation that replaces before, or creates the key.
func set(key string, value any, before kv.Entry) (kv.Op, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return kv.Op{}, fmt.Errorf("encode key %s: %w", key, err)
	}
	if before.Key == "" {
		return kv.Create(key, text), nil
	}
	return kv.Set(key, text, before.Token), nil
}

// TakeDown takes down the bytes that infos name, in one commit, and returns the new
// takedowns. forms are the digests of encoded forms, by digest. Existing takedowns stay,
// and get new forms. Once it returns, no release with the bytes can be added, and nodes
// answer 410 for them as soon as they read the registry. ErrConflict if there would be
// more than holdfast.MaxTakedowns.
func (r *Registry) TakeDown(ctx context.Context, infos []TakedownInfo, forms map[holdfast.Digest][]holdfast.Digest) (now *holdfast.Takedowns, err error) {
	for some := range slices.Chunk(infos, takeMost) {
		err := r.retry(ctx, "take down", func(bool) error {
			t := takedown{r: r, infos: some, forms: forms}
			now, err = t.attempt(ctx)
			return err
		})
		if err != nil {
			return now, err
		}
	}
	if now == nil {
		now, err = r.Takedowns(ctx)
	}
	return now, err
}

// takedown is one attempt of TakeDown. An attempt with a lost outcome is recognized by
// its effect.
type takedown struct {
	r     *Registry
	infos []TakedownInfo
	forms map[holdfast.Digest][]holdfast.Digest

	got   map[string]kv.Entry
	sweep Sweep
	down  []holdfast.Takedown
	ops   []kv.Op
	kills bool // a generation of names has to end
}

func (t *takedown) attempt(ctx context.Context) (*holdfast.Takedowns, error) {
	keys := []string{takedownsKey, sweepKey, registryKey}
	for i := range t.infos {
		keys = append(keys, takedownKey(t.infos[i].Digest))
	}
	got, err := t.r.db.get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	if err := t.r.checkIdentity(got[registryKey]); err != nil {
		return nil, err
	}
	before, err := parseTakedowns(got[takedownsKey])
	if err != nil {
		return nil, err
	}
	if t.sweep, err = parseSweep(got[sweepKey]); err != nil {
		return nil, err
	}
	t.got, t.down = got, slices.Clone(before.All())
	changed := false
	for i := range t.infos {
		more, err := t.add(&t.infos[i])
		if err != nil {
			return nil, err
		}
		changed = changed || more
	}
	if !changed {
		return before, nil
	}
	if len(t.down) > holdfast.MaxTakedowns {
		return nil, fmt.Errorf("%w: %d files are taken down already, and at most %d can be: allow what is not needed any more, and prune",
			holdfast.ErrInvalid, len(before.All()), holdfast.MaxTakedowns)
	}
	return t.commit(ctx, before.Seq()+1)
}

// add plans the takedown of one file.
func (t *takedown) add(info *TakedownInfo) (changed bool, err error) {
	i := slices.IndexFunc(t.down, func(d holdfast.Takedown) bool { return d.Digest == info.Digest })
	switch {
	case i < 0:
		t.down = append(t.down, holdfast.Takedown{Digest: info.Digest})
		i = len(t.down) - 1
	case !t.down[i].Allowed:
		if t.down[i].Merge(t.forms[info.Digest]) { // more is known of it now
			t.down[i].Removed = false
			return true, nil
		}
		return false, nil
	}
	one := &t.down[i]
	one.Merge(t.forms[info.Digest])
	one.Generation, one.Allowed, one.Removed = t.sweep.Generation, false, false
	t.kills = true
	clean := info.bounded()
	clean.At = t.r.clock().UTC().Truncate(time.Second)
	op, err := set(takedownKey(info.Digest), clean, t.got[takedownKey(info.Digest)])
	t.ops = append(t.ops, op)
	return true, err
}

// bounded returns the part of an info that is stored.
func (i *TakedownInfo) bounded() TakedownInfo {
	kept := *i
	if more := len(i.Found) - foundMost; more > 0 {
		kept.Found, kept.More = i.Found[:foundMost], more
	}
	kept.Found = slices.Clone(kept.Found)
	for n := range kept.Found {
		f := &kept.Found[n]
		f.Paths = slices.DeleteFunc(slices.Clone(f.Paths), func(p string) bool { return len(p) > pathMost })
		f.Paths = f.Paths[:min(len(f.Paths), pathsMost)]
	}
	return kept
}

func (t *takedown) commit(ctx context.Context, seq int64) (*holdfast.Takedowns, error) {
	op, err := setTakedowns(seq, t.down, t.got[takedownsKey])
	if err != nil {
		return nil, err
	}
	t.ops = append(t.ops, op)
	if t.kills {
		after, err := t.sweep.ended(t.r.clock())
		if err != nil {
			return nil, err
		}
		op, err := set(sweepKey, after, t.got[sweepKey])
		if err != nil {
			return nil, err
		}
		t.ops = append(t.ops, op)
	}
	if err := t.r.db.commit(ctx, t.ops...); err != nil {
		return nil, err
	}
	return holdfast.NewTakedowns(seq, t.down)
}

// ended returns the state after a generation that ends with nothing condemned: its list
// is empty, is in no store, and needs no sweep.
func (s Sweep) ended(now time.Time) (Sweep, error) {
	empty, err := holdfast.NewCondemned(s.Generation+1, nil, nil)
	if err != nil {
		return s, err
	}
	at := now.UTC().Truncate(time.Second)
	after := Sweep{Generation: s.Generation + 1, Lists: append(slices.Clone(s.Lists),
		SweepList{Generation: empty.Generation(), List: empty.Digest(), Condemned: at, Swept: at})}
	after.forget()
	return after, nil
}

// Takedowns returns the current takedowns.
func (r *Registry) Takedowns(ctx context.Context) (*holdfast.Takedowns, error) {
	got, err := r.db.get(ctx, takedownsKey, registryKey)
	if err == nil {
		err = r.checkIdentity(got[registryKey])
	}
	if err != nil {
		return nil, wrap("read takedowns", err)
	}
	down, err := parseTakedowns(got[takedownsKey])
	return down, wrap("read takedowns", err)
}

// TakedownInfos returns the records of the takedowns in down, in the same order.
func (r *Registry) TakedownInfos(ctx context.Context, down *holdfast.Takedowns) ([]TakedownInfo, error) {
	var keys []string
	for _, t := range down.All() {
		keys = append(keys, takedownKey(t.Digest))
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, wrap("read takedowns", err)
	}
	infos := make([]TakedownInfo, len(keys))
	for i, key := range keys {
		infos[i].Digest = down.All()[i].Digest
		if e, ok := got[key]; ok {
			if err := decode(e, &infos[i]); err != nil {
				return nil, wrap("read takedowns", err)
			}
		}
	}
	return infos, nil
}

// takenDown makes the commit of e depend on the takedowns as read.
func (e *edit) takenDown() (*holdfast.Takedowns, error) {
	entry := e.got[takedownsKey]
	down, err := parseTakedowns(entry)
	if entry.Key != "" {
		e.checks[takedownsKey] = entry.Token
		return down, err
	}
	e.createJSON(takedownsKey, takedownsText{Format: takedownsFormat}) // a missing key cannot be checked
	return down, err
}
