package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/bmatcuk/doublestar/v4"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
)

// SetApp changes the settings of app. An app that does not exist is created if it is the
// first one or create is set; otherwise that is an UnknownError. change may be called
// more than once. validate, which may be nil, sees all apps and the new settings; when
// its answer is committed, no app whose paths the mount hides has changed since. Errors:
// those of the two functions, ErrInvalid for a glob, ErrExists for a mount that another
// app has.
func (r *Registry) SetApp(ctx context.Context, app holdfast.AppName, create bool, change func(*holdfast.Settings) error,
	validate func(ctx context.Context, all []*AppState, changed holdfast.Settings) error,
) (holdfast.Settings, error) {
	var s holdfast.Settings
	err := r.update(ctx, "set app "+app.String(), app, may(create), func(e *edit) (err error) {
		s, err = e.change(ctx, change, validate)
		return err
	})
	return s, err
}

// change plans new settings.
func (e *edit) change(ctx context.Context, change func(*holdfast.Settings) error,
	validate func(context.Context, []*AppState, holdfast.Settings) error,
) (holdfast.Settings, error) {
	before, err := holdfast.DecodeSettings(e.app, e.head.Settings)
	if err != nil {
		return before, err
	}
	s := before
	s.Immutable, s.Unpinned = slices.Clone(before.Immutable), slices.Clone(before.Unpinned)
	if err := change(&s); err != nil {
		return s, err
	}
	for _, glob := range slices.Concat(s.Immutable, s.Mutable, s.Unpinned) {
		if !doublestar.ValidatePattern(glob) {
			return s, fmt.Errorf("%w: glob %q", holdfast.ErrInvalid, glob)
		}
	}
	moved := e.made || s.Mount != before.Mount
	if err := e.validate(ctx, s, moved, validate); err != nil {
		return s, err
	}
	text, err := s.Encode(e.app)
	if err != nil {
		return s, fmt.Errorf("encode settings: %w", err)
	}
	e.dirty = e.dirty || !equalSettings(e.head.Settings, text)
	e.hook(s.Hooks)
	e.head.Settings = text
	return s, nil
}

func equalSettings(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || len(a) == 0 && string(b) == "{}"
}

// validate calls validate, and makes the commit depend on the state it saw.
func (e *edit) validate(ctx context.Context, s holdfast.Settings, moved bool,
	validate func(context.Context, []*AppState, holdfast.Settings) error,
) error {
	if moved {
		if err := e.place(s.Mount); err != nil {
			return err
		}
	}
	if validate == nil {
		return nil
	}
	snap, err := e.r.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	for _, other := range snap.Apps {
		if _, shadows := s.Mount.Shadows(other.Settings.Mount); moved && shadows && other.Name != e.app {
			e.checks[headKey(other.Name)] = snap.seen[other.Name][0].token
		}
	}
	all := snap.Apps
	if former := snap.Former(e.app); former != nil {
		all = append(slices.Clone(all), former) // because browsers may have cached it
	}
	return validate(ctx, all, s)
}

// settle plans mounting a new app where its settings say.
func (e *edit) settle() error {
	if !e.made {
		return nil
	}
	s, err := holdfast.DecodeSettings(e.app, e.head.Settings)
	if err != nil {
		return err
	}
	return e.place(s.Mount)
}

// leave plans unmounting the app.
func (e *edit) leave() error {
	mounts, err := e.mounts()
	if err != nil {
		return err
	}
	delete(mounts, e.app)
	return e.setMounts(mounts)
}

// place plans mounting the app at m, unless another app is mounted there.
func (e *edit) place(m holdfast.Mount) error {
	mounts, err := e.mounts()
	if err != nil {
		return err
	}
	for app, taken := range mounts {
		if taken == m && app != e.app {
			return fmt.Errorf("mount %s %w: app %s lies there; choose another with: app set %s mount=…", m, holdfast.ErrExists, app, e.app)
		}
	}
	mounts[e.app] = m
	return e.setMounts(mounts)
}

func (e *edit) setMounts(mounts map[holdfast.AppName]holdfast.Mount) error {
	text, err := json.Marshal(mounts)
	if err != nil {
		return fmt.Errorf("encode mounts: %w", err)
	}
	e.dirty = true
	if entry, ok := e.got[mountsKey]; ok {
		e.ops = append(e.ops, kv.Set(mountsKey, text, entry.Token))
	} else {
		e.ops = append(e.ops, kv.Create(mountsKey, text))
	}
	return nil
}

func (e *edit) mounts() (map[holdfast.AppName]holdfast.Mount, error) {
	return parseMounts(e.got[mountsKey])
}

// parseMounts returns the mounts of all existing apps.
func parseMounts(e kv.Entry) (map[holdfast.AppName]holdfast.Mount, error) {
	mounts := make(map[holdfast.AppName]holdfast.Mount)
	if e.Key == "" {
		return mounts, nil
	}
	err := decode(e, &mounts)
	return mounts, err
}
