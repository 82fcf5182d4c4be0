// Package registry keeps the small, mutable truth of a cluster: apps and their
// settings, sides and what is live on them, release records, history, leases of
// publishers and entries of nodes. All of activate, rollback, pin and retire is
// written here once, over any kv driver.
//
// Layout of the keys, the same on every driver:
//
//	data/<app>/version/<side>        ID of the live release, plain text; alone says what is live
//	holdfast/registry                the registry's identity, written once; JSON
//	holdfast/mounts                  where all apps lie, so that no two lie at one place; JSON
//	holdfast/head/<app>              the app's head: settings, stamps, counters, flags, or that it was removed; JSON
//	holdfast/release/<app>/<id>      immutable release record; JSON
//	holdfast/history/<app>/<seq>     immutable history entry; JSON
//	holdfast/retired/<app>/<seq>     immutable: which releases were retired together; JSON
//	holdfast/gone/<app>/<seq>        immutable: which releases became gone together; JSON
//	holdfast/taken/<app>/<seq>       immutable: which files of the app were taken down together; JSON
//	holdfast/hook/<app>/<name>       how far a hook of the app is; JSON
//	holdfast/lease/<id>              a publisher's lease, leased
//	holdfast/node/<id>               a node's entry, leased
//	holdfast/prepare/<id>            a release that is about to become live, leased; JSON
//	holdfast/sighted/<node id>       a node that was registered, until it takes its leave; JSON
//	holdfast/own/<app>/<node id>     a release that the node owns, plain text, leased
//	holdfast/leader                  who is elected for cluster work, leased; JSON
//	holdfast/epoch                   the term of the last election, plain text
//	holdfast/scrub                   when all of the store was read last; JSON
//	holdfast/clock                   which time was noted last; JSON
//	holdfast/store                   which store the releases are in; JSON
//	holdfast/takedowns               which bytes nobody serves or keeps; JSON
//	holdfast/takedown/<digest>       who wanted that of some bytes, and why; JSON
//
// Everything that changes what an app's nodes serve changes its head or one of
// its version keys, so a reader learns of it from those alone; records and
// history entries never change once written and are read once.
//
// A change of an app is one commit that sets its head, so changes of one app
// follow each other; it writes history before it tells the caller anything. The
// version keys may also be set by foreign clients, at any time: the state is
// derived from what they hold, and the history entry is added by whoever changes
// the app next, or by Reconcile.
package registry

import (
	"fmt"
	"maps"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// ReleaseInfo is a release record with what was derived about it.
type ReleaseInfo struct {
	holdfast.Release
	State holdfast.State  `json:"state"`
	Sides []holdfast.Side `json:"sides,omitempty"` // on which it is live, sorted
	// Owners is how many registered nodes brought it with them; it is live as long
	// as there are any.
	Owners int  `json:"owners,omitempty"`
	Pinned bool `json:"pinned,omitempty"`
	// Activated is the stamp of the last activation on any side; zero if never live.
	Activated time.Time `json:"activated,omitzero"`
	// Drained is when it left its last side or its last owner left; zero unless
	// draining or later, and for a moment after that owner left.
	Drained   time.Time `json:"drained,omitzero"`
	RetiredAt time.Time `json:"retiredAt,omitzero"`
	GoneAt    time.Time `json:"goneAt,omitzero"`
	// RestoredAt is when a retired or gone release was last published again:
	// it drains, or waits for its first activation, from then on.
	RestoredAt time.Time `json:"restoredAt,omitzero"`
	// Unpublished is when the ID was freed, if no other build was published under it
	// since: the release is gone, and what it was is in Former as well.
	Unpublished time.Time `json:"unpublished,omitzero"`
	// Former are the builds that the ID named before it was freed, the oldest first.
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
	Live holdfast.ReleaseID `json:"live"` // zero: nothing was ever live
	// Activated is the stamp of the activation that made Live live here.
	Activated time.Time `json:"activated,omitzero"`
	// Pending is a valid ID, set by a foreign client, that is not published yet.
	Pending holdfast.ReleaseID `json:"pending,omitzero"`
	// Problem says why the version key's value is not in effect, if it is not.
	Problem string `json:"problem,omitempty"`
}

// AppState is all that a node or a command needs to know of one app. It is
// immutable: snapshots share it while nothing changes.
type AppState struct {
	Name     holdfast.AppName
	Settings holdfast.Settings
	Removed  time.Time     // when the app was removed; zero: it exists
	Local    bool          // nodes bring their own builds of it, or did so once
	Sides    []SideInfo    // sorted by name
	Releases []ReleaseInfo // newest publication first
}

// Snapshot is the state of a whole registry as one refresh read it.
type Snapshot struct {
	Registry string      // the registry's identity
	Revision int64       // rises with every change; never compared across registries
	Apps     []*AppState // sorted by name
	// Removed are apps that do not exist any more, sorted by name. All their releases
	// are gone; what their IDs are bound to, and what was under their names, stays known.
	Removed []*AppState
	// Takedowns are shared by snapshots while they do not change.
	Takedowns *holdfast.Takedowns

	down       kv.Token                         // what Takedowns was made from; zero: there was nothing
	seen       map[holdfast.AppName][]seen      // what Apps was made from
	heads      map[holdfast.AppName]kv.Revision // when the head of each app was last changed
	unrecorded map[holdfast.AppName]bool        // apps with activations that lack a history entry
}

// ActivateOptions say where a release becomes live, and on which condition.
type ActivateOptions struct {
	Side holdfast.Side // the default side if zero
	// Expect, if not nil, is what must be live there now; the zero ID: nothing.
	Expect *holdfast.ReleaseID
	// Create makes a side that the app does not have. Its first side needs no Create.
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
	Now    bool // also if it is pinned, and the pin is dropped: for leaks
	Reason      // for hooks
}

// LeaseInfo is a publish that is going on. Its manifest is a root.
type LeaseInfo struct {
	ID       string           `json:"id"`
	App      holdfast.AppName `json:"app"`
	Manifest holdfast.Digest  `json:"manifest"`
	Started  time.Time        `json:"started"`
}

// AddOutcome says what AddRelease did.
type AddOutcome uint8

// The outcomes of AddRelease.
const (
	Added     AddOutcome = iota // the ID is new
	Unchanged                   // the same manifest was already bound to it
	Restored                    // a retired or gone release is published again
)

// String returns the outcome as messages have it.
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

// PublishLease protects what a publisher uploads until its release is added.
type PublishLease interface {
	// Done is closed when the lease has ended or may have ended.
	Done() <-chan struct{}
	// Close gives the lease up. It may be called twice.
	Close() error
}

// NodeInfo is what a node says of itself in the registry.
type NodeInfo struct {
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Side    holdfast.Side `json:"side"`
	Address string        `json:"address"`        // host:port it serves on
	Peer    string        `json:"peer,omitempty"` // host:port it answers other nodes on
	Version string        `json:"version"`        // of the program
	Started time.Time     `json:"started"`
	Seen    time.Time     `json:"seen"` // when the entry was written, by the node's clock
	// Clock names that clock, and Beat is within how many seconds the entry is written
	// again; 0 from nodes of earlier versions.
	Clock clock.ID `json:"clock,omitempty"`
	Beat  int      `json:"beat,omitempty"`
	// Revision of the snapshot it serves: it knows every release added before.
	Revision int64 `json:"revision"`
	// Ready lists, per app, the live and draining releases it can serve by now, and
	// those that it was asked to prepare.
	Ready map[holdfast.AppName][]holdfast.ReleaseID `json:"ready,omitempty"`
	// Prepares: it loads what a Preparation names. Nodes of earlier versions do not.
	Prepares bool `json:"prepares,omitempty"`
	// Failing says why the node could not load releases that it should, as far as it
	// tried: a few of them, and a few words of each.
	Failing map[holdfast.AppName]map[holdfast.ReleaseID]string `json:"failing,omitempty"`
	// Own are the releases that the node brought with it; they are live while its
	// entry stands. It cannot be changed by Update.
	Own map[holdfast.AppName]holdfast.ReleaseID `json:"own,omitempty"`
	// Differs says, per app, where what the node brought differs from what other
	// running nodes brought.
	Differs map[holdfast.AppName][]Difference `json:"differs,omitempty"`
	// TakenDown is the number of the last change of what is taken down (Takedowns.Seq)
	// after which the node removed all of that from its memory and disks. Versions that
	// know nothing of takedowns never say it.
	TakenDown int64 `json:"takenDown,omitempty"`
	// Asked is what the node was asked for since it started.
	Asked Usage `json:"asked,omitempty"`
	// Copies is what it says of a store that is its own; nil if it shares one.
	Copies *Copies `json:"copies,omitempty"`
}

// Copies is what a node whose store is its own has in it of releases that nodes
// brought with them.
type Copies struct {
	// Wanted is how many nodes this one wants to have copies of each release, besides
	// those that brought it; 0: it takes no part in that.
	Wanted int `json:"wanted"`
	// Held are the releases that it has completely and durably, each with the digest
	// of the inventory that this is true of.
	Held map[holdfast.AppName]map[holdfast.ReleaseID]holdfast.Digest `json:"held,omitempty"`
	// Making are those that it is copying.
	Making map[holdfast.AppName]map[holdfast.ReleaseID]Making `json:"making,omitempty"`
	// Refused are those that its store did not take, since it is full for instance,
	// each with the digest of the inventory that this is true of: others should have
	// them instead.
	Refused map[holdfast.AppName]map[holdfast.ReleaseID]holdfast.Digest `json:"refused,omitempty"`
}

// Making is how far a copy is, in bytes.
type Making struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// clone copies what change functions and callers might write to.
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

// Difference is what two builds do not have in common, by path: files that one of
// them lacks, or has with other bytes.
type Difference struct {
	Release holdfast.ReleaseID `json:"release"` // the other one
	Files   int                `json:"files"`   // paths that either has
	Differ  int                `json:"differ"`  // how many of them differ
	Paths   []string           `json:"paths"`   // the first few of these, sorted
}
