package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

func at(second int64) time.Time { return time.Unix(1_700_000_000+second, 0).UTC() }

func TestDerive(t *testing.T) {
	one := holdfast.Release{ID: release("one"), Published: at(1)}
	flip := func(seq int64, on, id string) HistoryEntry {
		return HistoryEntry{Seq: seq, Side: side(on), Release: release(id), Stamp: at(10 * seq)}
	}
	mark := func(f flags) map[holdfast.ReleaseID]flags { return map[holdfast.ReleaseID]flags{one.ID: f} }
	tests := []struct {
		name    string
		flags   map[holdfast.ReleaseID]flags
		sides   []sideState
		history []HistoryEntry
		want    ReleaseInfo // without its record
	}{
		{name: "never live", want: ReleaseInfo{State: holdfast.Published}},
		{
			name: "live", sides: []sideState{liveOn("a", "one")}, history: []HistoryEntry{flip(1, "a", "one")},
			want: ReleaseInfo{State: holdfast.Live, Sides: []holdfast.Side{side("a")}, Activated: at(10)},
		},
		{
			name: "live on one of two sides", sides: []sideState{liveOn("a", "two"), liveOn("b", "one")},
			history: []HistoryEntry{flip(1, "a", "one"), flip(2, "b", "one"), flip(3, "a", "two")},
			want:    ReleaseInfo{State: holdfast.Live, Sides: []holdfast.Side{side("b")}, Activated: at(20)},
		},
		{
			name: "draining since it left the last side", sides: []sideState{liveOn("a", "two"), liveOn("b", "two")},
			history: []HistoryEntry{flip(1, "a", "one"), flip(2, "b", "one"), flip(3, "a", "two"), flip(4, "b", "two")},
			want:    ReleaseInfo{State: holdfast.Draining, Activated: at(20), Drained: at(40)},
		},
		{
			name: "live again does not drain", sides: []sideState{liveOn("a", "one")},
			history: []HistoryEntry{flip(1, "a", "one"), flip(2, "a", "two"), flip(3, "a", "one")},
			want:    ReleaseInfo{State: holdfast.Live, Sides: []holdfast.Side{side("a")}, Activated: at(30)},
		},
		{
			name: "retired and pinned", flags: mark(flags{Pinned: true, Retired: at(50).Unix()}),
			want: ReleaseInfo{State: holdfast.Retired, Pinned: true, RetiredAt: at(50)},
		},
		{
			name: "gone wins", flags: mark(flags{Retired: at(50).Unix(), Gone: at(60).Unix()}),
			sides: []sideState{liveOn("a", "two")}, history: []HistoryEntry{flip(1, "a", "one"), flip(2, "a", "two")},
			want: ReleaseInfo{State: holdfast.Gone, Activated: at(10), Drained: at(20), RetiredAt: at(50), GoneAt: at(60)},
		},
		{
			name: "restored drains on", flags: mark(flags{Restored: at(70).Unix()}),
			sides: []sideState{liveOn("a", "two")}, history: []HistoryEntry{flip(1, "a", "one"), flip(2, "a", "two")},
			want: ReleaseInfo{State: holdfast.Draining, Activated: at(10), Drained: at(20), RestoredAt: at(70)},
		},
		{
			name: "a foreign activation drains, before it has an entry", history: []HistoryEntry{flip(1, "a", "one")},
			sides: []sideState{{SideInfo: SideInfo{Side: side("a"), Live: release("two"), Activated: at(15)}, foreign: true}},
			want:  ReleaseInfo{State: holdfast.Draining, Activated: at(10), Drained: at(15)},
		},
		{
			name: "a foreign activation of a retired release", flags: mark(flags{Retired: at(5).Unix()}),
			sides: []sideState{{SideInfo: SideInfo{Side: side("a"), Live: release("one"), Activated: at(15)}, foreign: true}},
			want:  ReleaseInfo{State: holdfast.Live, Sides: []holdfast.Side{side("a")}, Activated: at(15)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := derive(&head{Flags: tt.flags}, tt.sides, []holdfast.Release{one}, tt.history, nil)
			tt.want.Release = one
			if diff := cmp.Diff([]ReleaseInfo{tt.want}, got, plain()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func liveOn(on, id string) sideState {
	return sideState{SideInfo: SideInfo{Side: side(on), Live: release(id)}}
}

func TestResolve(t *testing.T) {
	h := &head{
		Stamp: at(100),
		Sides: map[holdfast.Side]sideHead{side("a"): {release("old"), 1, at(90)}},
		Flags: map[holdfast.ReleaseID]flags{release("gone"): {Gone: 1}, release("retired"): {Retired: 1}},
	}
	const modified = 1000
	value := func(text string, rev kv.Revision) version {
		return version{side("a"), kv.Entry{Key: "k", Value: []byte(text), Modified: rev}}
	}
	kept := SideInfo{Side: side("a"), Live: release("old"), Activated: at(90)}
	tests := []struct {
		name    string
		version version
		live    string // if foreign
		stamp   int64
		pending string
		problem string
	}{
		{name: "as the head says", version: value("old", 900)},
		{name: "the same written again", version: value(" old\r\n", 1005)},
		{name: "missing", version: version{side: side("a")}, problem: "missing"},
		{name: "empty", version: value(" \n", 1005), problem: "empty"},
		{name: "null", version: value("null", 1005), problem: "reserved"},
		{name: "auto", version: value("auto", 1005), problem: "reserved"},
		{name: "invalid", version: value("a/b", 1005), problem: "want 1 to 64"},
		{name: "not published", version: value("later", 1005), pending: "later", problem: "not published yet"},
		{name: "gone", version: value("gone", 1005), problem: "gone"},
		{name: "published", version: value("new\n", 1001), live: "new", stamp: 101},
		{name: "retired", version: value("retired", 1005), live: "retired", stamp: 105},
		{name: "changed much later", version: value("new", 1000+64+2), live: "new", stamp: 102},
		{name: "published after it was set", version: value("new", 999), live: "new", stamp: 163},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := h.resolve([]version{tt.version}, modified, func(id holdfast.ReleaseID) bool { return id != release("later") })[0]
			want := kept
			if tt.live != "" {
				want.Live, want.Activated = release(tt.live), at(tt.stamp)
			}
			if tt.pending != "" {
				want.Pending = release(tt.pending)
			}
			if want.Problem = got.Problem; !strings.Contains(got.Problem, tt.problem) || (tt.problem == "") != (got.Problem == "") {
				t.Errorf("problem %q, want %q", got.Problem, tt.problem)
			}
			if diff := cmp.Diff(want, got.SideInfo, plain()); diff != "" {
				t.Error(diff)
			}
			if got.foreign != (tt.live != "") {
				t.Errorf("foreign = %v", got.foreign)
			}
		})
	}
}

// TestResolveStamps: each of several foreign activations gets a distinct stamp, in the
// order in which the keys were changed.
func TestResolveStamps(t *testing.T) {
	h := &head{Stamp: at(0)}
	set := func(on string, rev kv.Revision) version {
		return version{side(on), kv.Entry{Key: on, Value: []byte("new"), Modified: rev}}
	}
	all := func(holdfast.ReleaseID) bool { return true }
	tests := []struct {
		name     string
		versions []version
		want     map[string]int64
	}{
		{"one after the other", []version{set("a", 30), set("b", 20)}, map[string]int64{"b": 10, "a": 20}},
		{"in one commit", []version{set("a", 20), set("b", 20)}, map[string]int64{"a": 10, "b": 11}},
		{"a window apart", []version{set("a", 15), set("b", 11+window)}, map[string]int64{"a": 5, "b": 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range h.resolve(tt.versions, 10, all) {
				if want := at(tt.want[s.Side.String()]); !s.Activated.Equal(want) {
					t.Errorf("side %s has %v, want %v", s.Side, s.Activated, want)
				}
			}
		})
	}
}

func TestStamp(t *testing.T) {
	h := &head{}
	for _, tt := range []struct{ now, least, want time.Time }{
		{now: at(5).Add(time.Second / 2), want: at(5)},
		{now: at(5), want: at(6)},
		{now: at(2), want: at(7)},
		{now: at(8), least: at(20), want: at(20)},
		{now: at(30).In(time.FixedZone("", 3600)), want: at(30)},
	} {
		if got := h.stamp(tt.now, tt.least); got != tt.want {
			t.Errorf("stamp at %v, not before %v = %v, want %v", tt.now, tt.least, got, tt.want)
		}
	}
}

func TestNoRelease(t *testing.T) {
	ids := []holdfast.ReleaseID{release("v1.4.0"), release("v1.3.9"), release("hotfix-7"), release("v1.2.0")}
	wantError(t, noRelease(release("zzz"), ids), holdfast.ErrNotFound, "zzz", "the newest are v1.4.0, v1.3.9, hotfix-7")
	wantError(t, noRelease(release("x"), nil), holdfast.ErrNotFound, "nothing is published yet")
}
