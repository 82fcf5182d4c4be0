// Package registry holds the small, mutable truth of a cluster: apps and their settings,
// sides and their live releases, release records, history, leases of publishers and
// entries of nodes. Activate, rollback, pin and retire are all implemented here once,
// over any kv driver.
//
// Layout of the keys, the same on every driver:
//
//	data/<app>/version/<side>        ID of the live release, plain text; alone decides what is live
//	holdfast/registry                the registry's identity, written once; JSON
//	holdfast/mounts                  mounts of all apps, so that no two are equal; JSON
//	holdfast/head/<app>              the app's head: settings, stamps, counters, flags, or its removal; JSON
//	holdfast/release/<app>/<id>      immutable release record; JSON
//	holdfast/history/<app>/<seq>     immutable history entry; JSON
//	holdfast/retired/<app>/<seq>     immutable: releases that were retired together; JSON
//	holdfast/gone/<app>/<seq>        immutable: releases that became gone together; JSON
//	holdfast/taken/<app>/<seq>       immutable: files of the app that were taken down together; JSON
//	holdfast/hook/<app>/<name>       delivery progress of a hook of the app; JSON
//	holdfast/lease/<id>              a publisher's lease, leased
//	holdfast/copier/<app>@<manifest> which of several publishers of a build stores it, leased; JSON
//	holdfast/node/<id>               a node's entry, leased
//	holdfast/prepare/<id>            a release that is about to become live, leased; JSON
//	holdfast/sighted/<node id>       a registered node, until it shuts down cleanly; JSON
//	holdfast/own/<app>/<node id>     a release that the node owns, plain text, leased
//	holdfast/packs/<app>/<node id>   packs of the app that the node owns, leased; JSON
//	holdfast/leader                  the node elected for cluster work, leased; JSON
//	holdfast/epoch                   the term of the last election, plain text
//	holdfast/scrub                   the last complete read of the store; JSON
//	holdfast/clock                   the last recorded time; JSON
//	holdfast/store                   the store that the releases are in; JSON
//	holdfast/takedowns               bytes that must not be served or kept; JSON
//	holdfast/takedown/<digest>       requester of and reason for one takedown; JSON
//
// Every change to what nodes serve of an app changes its head or one of its version keys,
// so a reader needs to watch only those. Records and history entries never change once
// written and are read once.
//
// A change of an app is one commit that sets its head, so changes of one app are
// serialized; it writes history before it returns to the caller. Foreign clients may also
// set the version keys, at any time: the state is derived from them, and the history
// entry is added by the next process that changes the app, or by Reconcile.
package registry

import (
	"context"
	"fmt"
	"maps"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// ReleaseInfo is a release record with derived facts.
type ReleaseInfo struct {
	holdfast.Release
	State holdfast.State  `json:"state"`
	Sides []holdfast.Side `json:"sides,omitempty"` // on which it is live, sorted
	// Owners is how many registered nodes brought it; it is live as long as there are
	// any.
	Owners int `json:"owners,omitempty"`
	// OwnedBy are the IDs of the nodes that own a pack, sorted.
	OwnedBy []string `json:"ownedBy,omitempty"`
	Pinned  bool     `json:"pinned,omitempty"`
	// Activated is the stamp of the last activation on any side; zero if never live.
	Activated time.Time `json:"activated,omitzero"`
	// Drained is when it left its last side or its last owner left; zero unless draining
	// or later, and for a moment after that owner left.
	Drained   time.Time `json:"drained,omitzero"`
	RetiredAt time.Time `json:"retiredAt,omitzero"`
	GoneAt    time.Time `json:"goneAt,omitzero"`
	// RestoredAt is when a retired or gone release was last published again: it drains,
	// or waits for its first activation, from then on.
	RestoredAt time.Time `json:"restoredAt,omitzero"`
	// Unpublished is when the ID was freed, if no other build was published under it
	// since: the release is gone, and its build is also in Former.
	Unpublished time.Time `json:"unpublished,omitzero"`
	// Former are the builds that the ID named before it was freed, oldest first.
	Former []FormerBuild `json:"former,omitempty"`
}

// FormerBuild is a build that was published under an ID, was never live, and was
// unpublished.
type FormerBuild struct {
	Manifest    holdfast.Digest `json:"manifest"`
	Published   time.Time       `json:"published"`
	Unpublished time.Time       `json:"unpublished"`
}

// SideInfo is a side of an app.
type SideInfo struct {
	Side holdfast.Side      `json:"side"`
	Live holdfast.ReleaseID `json:"live"` // zero: there was never a live release
	// Activated is the stamp of the activation that made Live live here.
	Activated time.Time `json:"activated,omitzero"`
	// Pending is a valid ID, set by a foreign client, that is not published yet.
	Pending holdfast.ReleaseID `json:"pending,omitzero"`
	// Problem says why the version key's value is not in effect, if so.
	Problem string `json:"problem,omitempty"`
}

// AppState is the full state of one app for nodes and commands. It is immutable:
// snapshots share it while nothing changes.
type AppState struct {
	Name     holdfast.AppName
	Settings holdfast.Settings
	Removed  time.Time     // when the app was removed; zero: it exists
	Local    bool          // nodes bring builds of it, or once did
	Sides    []SideInfo    // sorted by name
	Releases []ReleaseInfo // newest publication first
}

// Snapshot is the state of a whole registry as read by one refresh.
type Snapshot struct {
	Registry string      // the registry's identity
	Revision int64       // increases with every change; never compared across registries
	Apps     []*AppState // sorted by name
	// Removed are apps that were removed, sorted by name. All their releases are gone;
	// the builds of their IDs and the bytes under their names stay known.
	Removed []*AppState
	// Takedowns are shared by snapshots while they do not change.
	Takedowns *holdfast.Takedowns

	down       kv.Token                         // the source of Takedowns; zero: there was none
	seen       map[holdfast.AppName][]seen      // the source of Apps
	heads      map[holdfast.AppName]kv.Revision // when the head of each app was last changed
	unrecorded map[holdfast.AppName]bool        // apps with activations that lack a history entry
}

// ActivateOptions say where a release becomes live, and under which condition.
type ActivateOptions struct {
	Side holdfast.Side // the default side if zero
	// Expect, if not nil, must be live there now; the zero ID: no release.
	Expect *holdfast.ReleaseID
	// Create creates a side that the app does not have. The first side needs no Create.
	Create bool
	Reason
}

// RollbackOptions say which side goes back, and how far.
type RollbackOptions struct {
	Side holdfast.Side // the default side if zero
	// To is the release to go back to; the zero ID: the one before.
	To holdfast.ReleaseID
	// Expect is as in ActivateOptions.
	Expect *holdfast.ReleaseID
	Reason
}

// RetireOptions of Retire.
type RetireOptions struct {
	Now    bool // even if it is pinned, and the pin is dropped: for leaks
	Reason      // for hooks
}

// LeaseInfo is a publish in progress. Its manifest is a root.
type LeaseInfo struct {
	ID       string           `json:"id"`
	App      holdfast.AppName `json:"app"`
	Manifest holdfast.Digest  `json:"manifest"`
	Started  time.Time        `json:"started"`
}

// AddOutcome is the result of AddRelease.
type AddOutcome uint8

// The outcomes of AddRelease.
const (
	Added     AddOutcome = iota // the ID is new
	Unchanged                   // the same manifest was already bound to it
	Restored                    // a retired or gone release is published again
)

// String returns the outcome for messages.
func (o AddOutcome) String() string {
	switch o {
	case Added:
		return "added"
	case Unchanged:
		return "unchanged"
	case Restored:
		return "restored"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// PublishLease protects a publisher's upload until its release is added.
type PublishLease interface {
	// Done is closed when the lease has ended or may have ended.
	Done() <-chan struct{}
	// Report says how far a copier is, see BeginCopy.
	Report(ctx context.Context, now CopierProgress) error
	// Close gives the lease up. It may be called twice.
	Close() error
}

// NodeInfo is a node's description of itself in the registry.
type NodeInfo struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Side    holdfast.Side `json:"side"`
	Address string        `json:"address"`        // host:port where it serves
	Peer    string        `json:"peer,omitempty"` // host:port where it answers other nodes
	Version string        `json:"version"`        // of the program
	Started time.Time     `json:"started"`
	Seen    time.Time     `json:"seen"` // when the entry was written, by the node's clock
	// Clock names that clock, and Beat is the maximum number of seconds until the entry
	// is written again; 0 from nodes of earlier versions.
	Clock clock.ID `json:"clock,omitempty"`
	Beat  int      `json:"beat,omitempty"`
	// Revision of the snapshot it serves: it has loaded every release added before.
	Revision int64 `json:"revision"`
	// Ready lists, per app, the live and draining releases it can serve now, and those it
	// was asked to prepare.
	Ready map[holdfast.AppName][]holdfast.ReleaseID `json:"ready,omitempty"`
	// Prepares: it loads the release named by a Preparation. Nodes of earlier versions do
	// not.
	Prepares bool `json:"prepares,omitempty"`
	// Failing says why the node could not load releases that it should, if it tried: a
	// few of them, with a few words each.
	Failing map[holdfast.AppName]map[holdfast.ReleaseID]string `json:"failing,omitempty"`
	// Own are the releases that the node brought; they are live while its entry exists.
	// Update cannot change it.
	Own map[holdfast.AppName]holdfast.ReleaseID `json:"own,omitempty"`
	// Host names the machine that the node runs on: copies that are on one host are lost
	// together. "" from nodes of earlier versions.
	Host string `json:"host,omitempty"`
	// Differs says, per app, how the node's build differs from those of other running
	// nodes.
	Differs map[holdfast.AppName][]Difference `json:"differs,omitempty"`
	// TakenDown is the number of the last change of the takedowns (Takedowns.Seq) after
	// which the node removed all of them from its memory and disks. Versions without
	// takedowns never set it.
	TakenDown int64 `json:"takenDown,omitempty"`
	// Asked are the requests to the node since it started.
	Asked Usage `json:"asked,omitempty"`
	// Copies describes the node's own store; nil if it shares one.
	Copies *Copies `json:"copies,omitempty"`
}

// Copies describes the releases brought by nodes in a store that is the node's own.
type Copies struct {
	// Wanted is how many nodes should have copies of each release, according to this
	// node, besides those that brought it; 0: it does not participate.
	Wanted int `json:"wanted"`
	// Held are the releases that it stores completely and durably, each with the digest
	// of its inventory.
	Held map[holdfast.AppName]map[holdfast.ReleaseID]holdfast.Digest `json:"held,omitempty"`
	// Making are those that it is copying.
	Making map[holdfast.AppName]map[holdfast.ReleaseID]Making `json:"making,omitempty"`
	// Refused are the releases that its store did not accept, for example because it is
	// full, each with the digest of its inventory: other nodes should have them instead.
	Refused map[holdfast.AppName]map[holdfast.ReleaseID]holdfast.Digest `json:"refused,omitempty"`
}

// Making is the progress of a copy, in bytes.
type Making struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// clone copies everything that change functions and callers might write to.
func (c *Copies) clone() *Copies {
	if c == nil {
		return nil
	}
	made := &Copies{Wanted: c.Wanted, Held: maps.Clone(c.Held), Making: maps.Clone(c.Making), Refused: maps.Clone(c.Refused)}
	for app, held := range made.Held {
		made.Held[app] = maps.Clone(held)
	}
	for app, making := range made.Making {
		made.Making[app] = maps.Clone(making)
	}
	for app, refused := range made.Refused {
		made.Refused[app] = maps.Clone(refused)
	}
	return made
}

// Difference lists how two builds differ, by path: files that are in only one of them, or
// have other bytes.
type Difference struct {
	Release holdfast.ReleaseID `json:"release"` // the other one
	Files   int                `json:"files"`   // paths in either
	Differ  int                `json:"differ"`  // how many of them differ
	Paths   []string           `json:"paths"`   // the first few of these, sorted
}
