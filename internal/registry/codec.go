package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

const snapshotFormat = 1

// The JSON form of a snapshot: the contents of Snapshot, AppState and Settings, and the
// head revision of each app.
type (
	snapshotText struct {
		Format   int       `json:"format"`
		Registry string    `json:"registry"`
		Revision int64     `json:"revision"`
		Apps     []appText `json:"apps"`
		Removed  []appText `json:"removed,omitempty"`
		// Takedowns is omitted while nothing is taken down.
		Takedowns *takedownsText `json:"takedowns,omitempty"`
	}
	appText struct {
		Name     holdfast.AppName `json:"name"`
		Head     kv.Revision      `json:"head"`
		Settings json.RawMessage  `json:"settings"`
		Removed  time.Time        `json:"removed,omitzero"`
		Local    bool             `json:"local,omitempty"`
		Sides    []SideInfo       `json:"sides"`
		Releases []ReleaseInfo    `json:"releases"`
	}
)

// Encode returns the snapshot as JSON, for storage on disk. The data for recognizing
// unchanged apps is omitted: the first Refresh after a decoded snapshot reads everything.
func (s *Snapshot) Encode() ([]byte, error) {
	out := snapshotText{Format: snapshotFormat, Registry: s.Registry, Revision: s.Revision, Apps: []appText{}}
	if all := s.Takedowns.All(); len(all) > 0 {
		out.Takedowns = &takedownsText{takedownsFormat, s.Takedowns.Seq(), all}
	}
	for a := range s.All() {
		settings, err := a.Settings.Encode(a.Name)
		if err != nil {
			return nil, fmt.Errorf("encode settings of app %s: %w", a.Name, err)
		}
		text := appText{a.Name, s.heads[a.Name], settings, a.Removed, a.Local, a.Sides, a.Releases}
		if a.Removed.IsZero() {
			out.Apps = append(out.Apps, text)
		} else {
			out.Removed = append(out.Removed, text)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode snapshot: %w", err)
	}
	return text, nil
}

// DecodeSnapshot is the inverse of Encode. Text written by another version of the
// program, or not by Encode, is ErrInvalid.
func DecodeSnapshot(text []byte) (*Snapshot, error) {
	var in snapshotText
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w: %w", holdfast.ErrInvalid, err)
	}
	switch {
	case in.Format != snapshotFormat:
		return nil, fmt.Errorf("decode snapshot: %w: format %d was written by another version of the program, this one knows %d",
			holdfast.ErrInvalid, in.Format, snapshotFormat)
	case in.Registry == "" || in.Revision < 0:
		return nil, fmt.Errorf("decode snapshot: %w: no registry, or no revision", holdfast.ErrInvalid)
	}
	s := &Snapshot{Registry: in.Registry, Revision: in.Revision, heads: make(map[holdfast.AppName]kv.Revision, len(in.Apps))}
	if err := errors.Join(s.decode(in.Apps, &s.Apps, false), s.decode(in.Removed, &s.Removed, true)); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	if t := in.Takedowns; t != nil {
		var err error
		if s.Takedowns, err = holdfast.NewTakedowns(t.Seq, t.Down); err != nil {
			return nil, fmt.Errorf("decode snapshot: %w", err)
		}
	}
	return s, nil
}

// decode adds existing or removed apps to into.
func (s *Snapshot) decode(apps []appText, into *[]*AppState, removed bool) error {
	for _, a := range apps {
		state, err := a.decode()
		if err != nil {
			return fmt.Errorf("app %s: %w", a.Name, err)
		}
		if _, twice := s.heads[a.Name]; twice || state.Removed.IsZero() == removed {
			return fmt.Errorf("%w: app %s is there twice, or in the wrong place", holdfast.ErrInvalid, a.Name)
		}
		*into = append(*into, state)
		s.heads[a.Name] = a.Head
	}
	if !rising(*into, func(a, b *AppState) bool { return a.Name.String() < b.Name.String() }) {
		return fmt.Errorf("%w: apps are not in order", holdfast.ErrInvalid)
	}
	return nil
}

func (a *appText) decode() (*AppState, error) {
	if a.Name.IsZero() || a.Head < 0 {
		return nil, fmt.Errorf("%w: no name, or no head", holdfast.ErrInvalid)
	}
	settings, err := holdfast.DecodeSettings(a.Name, a.Settings)
	if err != nil {
		return nil, err
	}
	for _, s := range a.Sides {
		if s.Side.IsZero() {
			return nil, fmt.Errorf("%w: a side has no name", holdfast.ErrInvalid)
		}
	}
	if !rising(a.Sides, func(x, y SideInfo) bool { return compareSides(x.Side, y.Side) < 0 }) {
		return nil, fmt.Errorf("%w: sides are not in order", holdfast.ErrInvalid)
	}
	if err := a.checkReleases(); err != nil {
		return nil, err
	}
	return &AppState{Name: a.Name, Settings: settings, Removed: a.Removed, Local: a.Local, Sides: a.Sides, Releases: a.Releases}, nil
}

func (a *appText) checkReleases() error {
	known := make(map[holdfast.ReleaseID]bool, len(a.Releases))
	for _, r := range a.Releases {
		if r.ID.IsZero() || r.App != a.Name || known[r.ID] {
			return fmt.Errorf("%w: release %q has no name, is another app's, or is there twice", holdfast.ErrInvalid, r.ID)
		}
		known[r.ID] = true
	}
	if !rising(a.Releases, func(x, y ReleaseInfo) bool { return x.Published.After(y.Published) }) {
		return fmt.Errorf("%w: releases are not in order", holdfast.ErrInvalid)
	}
	return nil
}

// rising reports whether each of all comes before the next.
func rising[T any](all []T, before func(a, b T) bool) bool {
	for i := 1; i < len(all); i++ {
		if !before(all[i-1], all[i]) {
			return false
		}
	}
	return true
}

// followedBy returns an error unless readings can be later than s. Heads are never
// deleted and their revisions only increase: lower revisions mean that an older state of
// the registry was restored.
func (s *Snapshot) followedBy(readings []reading) error {
	heads := make(map[holdfast.AppName]kv.Revision, len(readings))
	for _, rd := range readings {
		heads[rd.app] = rd.head.Modified
	}
	for state := range s.All() {
		app := state.Name
		switch now, ok := heads[app]; {
		case !ok:
			return fmt.Errorf("%w: app %s has vanished from the registry %s", holdfast.ErrConflict, app, s.Registry)
		case now < s.heads[app]:
			return fmt.Errorf("%w: the registry %s went back: app %s was changed at revision %d and is now of revision %d",
				holdfast.ErrConflict, s.Registry, app, s.heads[app], now)
		}
	}
	return nil
}
