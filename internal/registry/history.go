package registry

import (
	"fmt"
	"time"
	"unicode/utf8"

	holdfast "github.com/holdfast-web/holdfast"
)

// EntryKind says what changed the live release of a side.
type EntryKind string

// The kinds of history entries. Entries that earlier versions wrote have none; they
// count as KindActivate.
const (
	KindActivate EntryKind = "activate"
	KindRollback EntryKind = "rollback" // back to what an earlier entry made live
	KindForeign  EntryKind = "foreign"  // another client set the version key
	KindRestore  EntryKind = "restore"  // an activation of a release that was retired
	KindRemove   EntryKind = "remove"   // the side was removed; the entry has no release
)

// Reason says who asks for a change, and why. All of it is free text.
type Reason struct {
	By      string `json:"by,omitempty"` // who or what asked for it
	Message string `json:"message,omitempty"`
	Commit  string `json:"commit,omitempty"` // of the source, where a CI system asked
	Branch  string `json:"branch,omitempty"`
	Run     string `json:"run,omitempty"` // URL of the CI run
}

// MaxReason is how many bytes each text of a Reason may have: the last entries are
// repeated in the head of the app, which must stay small.
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

// HistoryEntry is one activation. Sequence numbers rise per app without gaps.
type HistoryEntry struct {
	Seq      int64              `json:"seq"`
	Kind     EntryKind          `json:"kind,omitempty"`
	Side     holdfast.Side      `json:"side"`
	Release  holdfast.ReleaseID `json:"release"`
	Previous holdfast.ReleaseID `json:"previous,omitzero"`
	Stamp    time.Time          `json:"stamp"` // unique and rising among all stamps of the app
	Reason
	Op string `json:"op,omitempty"` // operation ID, finds an activation whose outcome was lost
}

// undo walks back through the history of one side and tells which entries can be gone
// back to. Think of them as a stack: an activation, whoever made it, lies on top of what
// was live; a rollback takes off all that lies above the release it goes back to. The
// stack is never stored: walking from the newest entry, a rollback to R leaves out
// all entries before it, up to the one that made R live.
//
// The zero value begins at the newest entry.
type undo struct {
	// seek are the releases to find before another entry counts, the last one first.
	// A rollback that was itself left by a later one adds to them.
	seek []holdfast.ReleaseID
}

// counts reports whether e, the next older entry of the side, is one of the stack.
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
