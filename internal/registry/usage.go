package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// Asked is what is known about the requests for a release. Nodes report them in their
// entries every few minutes; the time of the last one is also stored separately, so that
// it outlives the entries.
type Asked struct {
	// Last is when a node last saw a request, by the node's clock.
	Last time.Time `json:"last,omitzero"`
	// Recent counts requests; one from an hour ago counts half, from two hours ago a
	// quarter.
	Recent int64 `json:"recent,omitempty"`
}

// Usage is what is known about the requests for the releases of each app.
type Usage map[holdfast.AppName]map[holdfast.ReleaseID]Asked

func (u Usage) add(app holdfast.AppName, id holdfast.ReleaseID, more Asked) {
	if u[app] == nil {
		u[app] = make(map[holdfast.ReleaseID]Asked)
	}
	a := u[app][id]
	if more.Last.After(a.Last) {
		a.Last = more.Last
	}
	a.Recent += more.Recent
	u[app][id] = a
}

// usageStep is how much later the last request must be to be stored again.
const usageStep = time.Minute

// lastAsked is the value of an app's usage key.
type lastAsked struct {
	Last map[holdfast.ReleaseID]int64 `json:"last"` // seconds since 1970
}

// Usage returns the reports of all nodes, merged with the stored times.
func (r *Registry) Usage(ctx context.Context) (Usage, error) {
	usage, _, err := r.usage(ctx)
	return usage, wrap("read usage", err)
}

func (r *Registry) usage(ctx context.Context) (Usage, map[holdfast.AppName]kv.Entry, error) {
	nodes, err := r.Nodes(ctx)
	if err != nil {
		return nil, nil, err
	}
	usage := make(Usage)
	for _, n := range nodes {
		for app, releases := range n.Asked {
			for id, a := range releases {
				usage.add(app, id, a)
			}
		}
	}
	names, err := r.db.list(ctx, usageDir)
	if err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(names))
	for i, name := range names {
		keys[i] = usageDir + "/" + name
	}
	got, err := r.db.get(ctx, keys...)
	if err != nil {
		return nil, nil, err
	}
	written := make(map[holdfast.AppName]kv.Entry, len(got))
	for i, key := range keys {
		app, err := holdfast.ParseAppName(names[i])
		if err != nil {
			return nil, nil, fmt.Errorf("key %s: %w: %w", key, holdfast.ErrCorrupt, err)
		}
		e := got[key]
		written[app] = e
		var last lastAsked
		if err := decode(e, &last); err != nil {
			return nil, nil, err
		}
		for id, at := range last.Last {
			usage.add(app, id, Asked{Last: fromUnix(at)})
		}
	}
	return usage, written, nil
}

// SaveUsage stores the nodes' reports about releases of snap that are not gone, where
// they are new. It returns the merged usage.
func (r *Registry) SaveUsage(ctx context.Context, snap *Snapshot) (Usage, error) {
	usage, written, err := r.usage(ctx)
	if err != nil {
		return nil, wrap("save usage", err)
	}
	for _, state := range snap.Apps {
		if err := r.saveUsage(ctx, state, usage[state.Name], written[state.Name]); err != nil {
			return usage, wrap("save usage of app "+state.Name.String(), err)
		}
	}
	return usage, nil
}

func (r *Registry) saveUsage(ctx context.Context, state *AppState, usage map[holdfast.ReleaseID]Asked, before kv.Entry) error {
	now, was := lastAsked{make(map[holdfast.ReleaseID]int64)}, lastAsked{}
	if before.Key != "" {
		if err := decode(before, &was); err != nil {
			return err
		}
	}
	for _, info := range state.Releases {
		if a, ok := usage[info.ID]; ok && info.State != holdfast.Gone {
			now.Last[info.ID] = a.Last.Unix()
		}
	}
	if !now.news(was) {
		return nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	op := kv.Create(usageKey(state.Name), text)
	if before.Key != "" {
		op = kv.Set(before.Key, text, before.Token)
	}
	return r.db.commit(ctx, op)
}

// news reports whether l is worth writing over was.
func (l lastAsked) news(was lastAsked) bool {
	for id := range maps.Keys(was.Last) {
		if _, ok := l.Last[id]; !ok {
			return true
		}
	}
	for id, at := range l.Last {
		if before, ok := was.Last[id]; !ok || at-before >= int64(usageStep/time.Second) {
			return true
		}
	}
	return false
}
