package holdfast

import (
	"fmt"
	"time"
)

// Release is the immutable record of a published build. It is written once.
type Release struct {
	App       AppName   `json:"app"`
	ID        ReleaseID `json:"id"`
	Manifest  Digest    `json:"manifest"`
	Inventory Digest    `json:"inventory"`
	// Pages is the digest of the list of pinned variants (see Pages), an object of the
	// inventory; zero if the release has none.
	Pages Digest `json:"pages,omitzero"`
	// Published is the publication stamp: UTC, whole seconds except for packs, unique and increasing among
	// all stamps of the app. It becomes Last-Modified.
	Published time.Time `json:"published"`
	Files     int       `json:"files"`
	Bytes     int64     `json:"bytes"` // identity bytes
	// Pack is the name of a pack: a release that a node added while it ran. Only URLs that
	// name its ID lead to its files. Zero for other releases.
	Pack PackName `json:"pack,omitzero"`
	// Clashes are fingerprinted paths that were published although other bytes had been
	// published under them. They are never served as immutable.
	Clashes []string `json:"clashes,omitempty"`
}

// State is a release's stage of life. It is derived, never stored.
type State uint8

// The states of a release.
const (
	// Published: never live.
	Published State = iota
	// Live: on at least one side.
	Live
	// Draining: no longer live on any side, still served.
	Draining
	// Retired: the bytes are still stored, requests answer 410, and it may be activated
	// again.
	Retired
	// Gone: a permanent tombstone; requests answer 410, and the ID is never reused.
	Gone
)

// String returns the word of the vocabulary.
func (s State) String() string {
	switch s {
	case Published:
		return "published"
	case Live:
		return "live"
	case Draining:
		return "draining"
	case Retired:
		return "retired"
	case Gone:
		return "gone"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Servable reports whether nodes serve the release's files.
func (s State) Servable() bool { return s <= Draining }

// MarshalText writes the word of the vocabulary.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *State) UnmarshalText(b []byte) error {
	for c := Published; c <= Gone; c++ {
		if c.String() == string(b) {
			*s = c
			return nil
		}
	}
	return fmt.Errorf("%w: state %q", ErrInvalid, clip(string(b)))
}
