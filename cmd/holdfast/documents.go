package main

import (
	"cmp"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// The JSON output for data stored in the registry. The keys are a contract with programs,
// so they are defined here, apart from the stored ones: one name per thing in all
// documents (app, release, side, node, hook; times are named for the event: published,
// activated, retired). docs/json.md lists all.

// releaseDoc is a release.
type releaseDoc struct {
	App       holdfast.AppName   `json:"app"`
	Release   holdfast.ReleaseID `json:"release"`
	State     holdfast.State     `json:"state"`
	Sides     []holdfast.Side    `json:"sides,omitempty"`
	Owners    int                `json:"owners,omitempty"`
	Pinned    bool               `json:"pinned,omitempty"`
	Published time.Time          `json:"published"`
	Activated time.Time          `json:"activated,omitzero"`
	Drained   time.Time          `json:"drained,omitzero"`
	Retired   time.Time          `json:"retired,omitzero"`
	Gone      time.Time          `json:"gone,omitzero"`
	Restored  time.Time          `json:"restored,omitzero"`
	Freed     time.Time          `json:"unpublished,omitzero"`
	Former    []formerDoc        `json:"former,omitempty"`
	Files     int                `json:"files"`
	Bytes     int64              `json:"bytes"`
	Manifest  holdfast.Digest    `json:"manifest"`
	Inventory holdfast.Digest    `json:"inventory"`
	Clashes   []string           `json:"clashes,omitempty"`
}

// formerDoc is a build that a release's ID named before it was freed.
type formerDoc struct {
	Manifest    holdfast.Digest `json:"manifest"`
	Published   time.Time       `json:"published"`
	Unpublished time.Time       `json:"unpublished"`
}

func docOfRelease(r *registry.ReleaseInfo) releaseDoc {
	var former []formerDoc
	for _, f := range r.Former {
		former = append(former, formerDoc(f))
	}
	return releaseDoc{
		App: r.App, Release: r.ID, State: r.State, Sides: r.Sides, Owners: r.Owners, Pinned: r.Pinned,
		Published: r.Published, Activated: r.Activated, Drained: r.Drained, Retired: r.RetiredAt, Gone: r.GoneAt, Restored: r.RestoredAt,
		Freed: r.Unpublished, Former: former,
		Files: r.Files, Bytes: r.Bytes, Manifest: r.Manifest, Inventory: r.Inventory, Clashes: r.Clashes,
	}
}

// activationDoc is an entry of the history.
type activationDoc struct {
	Seq       int64              `json:"seq"`
	Kind      registry.EntryKind `json:"kind"`
	Side      holdfast.Side      `json:"side"`
	Release   holdfast.ReleaseID `json:"release"` // "" if the side was removed
	Previous  holdfast.ReleaseID `json:"previous,omitzero"`
	Activated time.Time          `json:"activated"`
	registry.Reason
	Op string `json:"op,omitempty"`
}

func docOfActivation(e registry.HistoryEntry) activationDoc {
	return activationDoc{
		Seq: e.Seq, Kind: kindOf(&e), Side: e.Side, Release: e.Release, Previous: e.Previous, Activated: e.Stamp, Reason: e.Reason, Op: e.Op,
	}
}

// kindOf returns the kind of an entry; entries of earlier versions do not say.
func kindOf(e *registry.HistoryEntry) registry.EntryKind {
	return cmp.Or(e.Kind, registry.KindActivate)
}

// nodeDoc is a node that runs.
type nodeDoc struct {
	ID       string                                             `json:"id"`
	Node     string                                             `json:"node"`
	Side     holdfast.Side                                      `json:"side"`
	Address  string                                             `json:"address"`
	Peer     string                                             `json:"peer,omitempty"`
	Version  string                                             `json:"version"`
	Started  time.Time                                          `json:"started"`
	Seen     time.Time                                          `json:"seen"`
	Revision int64                                              `json:"revision"`
	Ready    map[holdfast.AppName][]holdfast.ReleaseID          `json:"ready,omitempty"`
	Prepares bool                                               `json:"prepares,omitempty"`
	Failing  map[holdfast.AppName]map[holdfast.ReleaseID]string `json:"failing,omitempty"`
	Own      map[holdfast.AppName]holdfast.ReleaseID            `json:"own,omitempty"`
	Differs  map[holdfast.AppName][]registry.Difference         `json:"differs,omitempty"`
	Asked    registry.Usage                                     `json:"asked,omitempty"`
	Copies   *registry.Copies                                   `json:"copies,omitempty"`
}

func docOfNode(n *registry.NodeInfo) nodeDoc {
	return nodeDoc{
		ID: n.ID, Node: n.Name, Side: n.Side, Address: n.Address, Peer: n.Peer, Version: n.Version,
		Started: n.Started, Seen: n.Seen, Revision: n.Revision, Ready: n.Ready, Own: n.Own, Differs: n.Differs,
		Asked: n.Asked, Copies: n.Copies, Prepares: n.Prepares, Failing: n.Failing,
	}
}

// lostDoc is a node that vanished without taking its leave.
type lostDoc struct {
	ID      string        `json:"id"`
	Node    string        `json:"node"`
	Side    holdfast.Side `json:"side"`
	Address string        `json:"address"`
	Version string        `json:"version"`
	Started time.Time     `json:"started"`
	Seen    time.Time     `json:"seen"`
}

// leaderDoc is the elected node.
type leaderDoc struct {
	Node    string    `json:"node"`
	Address string    `json:"address"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Epoch   int64     `json:"epoch,omitempty"`
	Term    string    `json:"term"`
}

func docOfLeader(l *registry.LeaderInfo) *leaderDoc {
	return &leaderDoc{Node: l.Name, Address: l.Address, Version: l.Version, Since: l.Since, Epoch: l.Epoch, Term: l.Term}
}

// hookDoc is a hook of an app, with its progress.
type hookDoc struct {
	App     holdfast.AppName      `json:"app"`
	Hook    holdfast.HookName     `json:"hook"`
	At      placeDoc              `json:"at"`
	Failing *registry.HookFailure `json:"failing,omitempty"`
	GivenUp int                   `json:"givenUp,omitempty"`
	Missed  []registry.Missed     `json:"missed,omitempty"`
}

// placeDoc is the place of an event: its time, and how many events of that time
// come before it.
type placeDoc struct {
	Time time.Time `json:"time"`
	Done int       `json:"done,omitempty"`
}

func docOfHook(h registry.Hook) hookDoc {
	return hookDoc{
		App: h.App, Hook: h.Name, At: placeDoc{time.Unix(h.At.Stamp, 0).UTC(), h.At.Done},
		Failing: h.Failing, GivenUp: h.GivenUp, Missed: h.Missed,
	}
}

// each converts all items of a list; an empty list stays a list, which JSON distinguishes
// from null.
func each[T, D any](list []T, convert func(T) D) []D {
	docs := make([]D, len(list))
	for i, v := range list {
		docs[i] = convert(v)
	}
	return docs
}
