package registry

import (
	"fmt"
	"time"
	"unicode/utf8"

	holdfast "github.com/holdfast-web/holdfast"
)

// EntryKind says how the live release of a side changed.
type EntryKind string

// The kinds of history entries. Entries of earlier versions have none; they count as
// KindActivate.
const (
	KindActivate EntryKind = "activate"
	KindRollback EntryKind = "rollback" // back to the release of an earlier entry
	KindForeign  EntryKind = "foreign"  // another client set the version key
	KindRestore  EntryKind = "restore"  // an activation of a release that was retired
	KindRemove   EntryKind = "remove"   // the side was removed; the entry has no release
)

// Reason says who requested a change, and why. It is all free text.
type Reason struct {
	By      string `json:"by,omitempty"` // the person or system that requested it
	Message string `json:"message,omitempty"`
	Commit  string `json:"commit,omitempty"` // of the source, if requested by a CI system
	Branch  string `json:"branch,omitempty"`
	Run     string `json:"run,omitempty"` // URL of the CI run
}

// MaxReason limits each text of a Reason, in bytes: the head of the app repeats the last
// entries and must stay small.
const MaxReason = 500

// check returns ErrInvalid for texts that are too long or not UTF-8.
func (r Reason) check() error {
	for _, text := range []struct{ name, value string }{
		{"by", r.By}, {"message", r.Message}, {"commit", r.Commit}, {"branch", r.Branch}, {"run", r.Run},
	} {
		switch {
		case len(text.value) > MaxReason:
			return fmt.Errorf("%w: %s has %d bytes, at most %d are possible", holdfast.ErrInvalid, text.name, len(text.value), MaxReason)
		case !utf8.ValidString(text.value):
			return fmt.Errorf("%w: %s is not UTF-8", holdfast.ErrInvalid, text.name)
		}
	}
	return nil
}

// HistoryEntry is one activation. Sequence numbers of an app increase without gaps.
type HistoryEntry struct {
	Seq      int64              `json:"seq"`
	Kind     EntryKind          `json:"kind,omitempty"`
	Side     holdfast.Side      `json:"side"`
	Release  holdfast.ReleaseID `json:"release"`
	Previous holdfast.ReleaseID `json:"previous,omitzero"`
	Stamp    time.Time          `json:"stamp"` // unique and increasing among all stamps of the app
	Reason
	Op string `json:"op,omitempty"` // operation ID, finds an activation whose outcome was lost
}

// undo walks back through the history of one side and finds the entries that a rollback
// can return to. Think of a stack: an activation, by any client, pushes its release; a
// rollback pops everything above the release it returns to. The stack is never stored:
// walking from the newest entry, a rollback to R skips all entries before it, up to the
// one that made R live.
//
// The zero value begins at the newest entry.
type undo struct {
	// seek holds the releases to find before another entry counts, the last one first. A
	// rollback that was itself undone by a later one adds to them.
	seek []holdfast.ReleaseID
}

// counts reports whether e, the next older entry of the side, is on the stack.
func (u *undo) counts(e *HistoryEntry) bool {
	on := len(u.seek) == 0
	if !on && u.seek[len(u.seek)-1] == e.Release {
		u.seek = u.seek[:len(u.seek)-1]
	}
	if e.Kind == KindRollback {
		u.seek = append(u.seek, e.Release)
	}
	return on
}
