package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// stillServed lists files of a retired release that other releases of its app still
// serve. Its JSON form is part of retire's.
type stillServed struct {
	Same  []heldFile `json:"same"`  // the very bytes
	Other []heldFile `json:"other"` // other bytes under the path
}

// heldFile is a file that other releases have.
type heldFile struct {
	Path     string               `json:"path"`
	Releases []holdfast.ReleaseID `json:"releases"`
}

// storeWait is how long a command that needs no store waits for it to say more.
const storeWait = 5 * time.Second

// tellStillServed names the files of a just-retired release that are still served,
// because the purpose of retiring is to stop that, and releases usually share files. It
// is optional information: without the store it prints only a hint.
func (c *cli) tellStillServed(ctx context.Context, b *backends, app holdfast.AppName, id holdfast.ReleaseID) *stillServed {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	var still *stillServed
	err := c.tryStore(ctx, b)
	if err == nil {
		still, err = b.stillServed(ctx, app, id)
	}
	if err != nil {
		c.ui.note("other releases may still serve files of %s; which ones could not be read: %v", id, plainError(err))
		return nil
	}
	if n := len(still.Same); n > 0 {
		c.ui.say("%s of %s %s still served with the same bytes: %s", count(n, "file"), id, verb(n, "is", "are"), heldBy(still.Same))
		c.ui.say("  to remove bytes everywhere: %s takedown%s PATH", c.program, flipFlags(app, holdfast.DefaultSide()))
	}
	if n := len(still.Other); n > 0 {
		c.ui.say("%s of %s %s answered with other bytes: %s", count(n, "path"), id, verb(n, "is", "are"), heldBy(still.Other))
	}
	return still
}

// heldBy groups files by the releases that have them.
func heldBy(files []heldFile) string {
	byRelease := make(map[string][]string)
	var order []string
	for _, f := range files {
		for _, id := range f.Releases {
			if byRelease[id.String()] == nil {
				order = append(order, id.String())
			}
			byRelease[id.String()] = append(byRelease[id.String()], f.Path)
		}
	}
	var texts []string
	for _, id := range order {
		texts = append(texts, fmt.Sprintf("by %s (%s)", id, some(byRelease[id], 3)))
	}
	return some(texts, 4)
}

// stillServed compares a release with those of its app that are served.
func (b *backends) stillServed(ctx context.Context, app holdfast.AppName, id holdfast.ReleaseID) (*stillServed, error) {
	state, err := b.registry.App(ctx, app)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(state.Releases, func(r registry.ReleaseInfo) bool { return r.ID == id })
	if at < 0 {
		return nil, holdfast.ErrNotFound
	}
	own, err := b.store.Manifest(ctx, state.Releases[at].Manifest)
	if err != nil {
		return nil, err
	}
	snap, err := b.registry.Takedowns(ctx)
	if err != nil {
		return nil, err
	}
	same, other := make(map[string][]holdfast.ReleaseID), make(map[string][]holdfast.ReleaseID)
	for i := range state.Releases {
		r := &state.Releases[i]
		if !r.State.Servable() {
			continue
		}
		m, err := b.store.Manifest(ctx, r.Manifest)
		if err != nil {
			return nil, fmt.Errorf("release %s: %w", r.ID, err)
		}
		compareFiles(own, m, r.ID, snap, same, other)
	}
	for path := range same {
		delete(other, path) // the bytes matter more
	}
	return &stillServed{held(same), held(other)}, nil
}

// compareFiles records files of own that another release has, under any path, and paths
// of own where it has other bytes.
func compareFiles(own, m *holdfast.Manifest, id holdfast.ReleaseID, down *holdfast.Takedowns, same, other map[string][]holdfast.ReleaseID) {
	has := make(map[holdfast.Digest]bool, len(m.Files()))
	for i := range m.Files() {
		has[m.Files()[i].Digest] = true
	}
	for i := range own.Files() {
		f := &own.Files()[i]
		theirs, ok := m.Lookup(f.Path)
		switch {
		case has[f.Digest] && !down.Refuses(f.Digest):
			same[f.Path] = append(same[f.Path], id)
		case ok && !down.Refuses(theirs.Digest):
			other[f.Path] = append(other[f.Path], id)
		}
	}
}

func held(by map[string][]holdfast.ReleaseID) []heldFile {
	files := []heldFile{}
	for path, releases := range by {
		files = append(files, heldFile{path, releases})
	}
	slices.SortFunc(files, func(a, b heldFile) int { return strings.Compare(a.Path, b.Path) })
	return files
}

// tellLeft says, after a rollback, how to stop serving the release that was left.
func (c *cli) tellLeft(f *flip) {
	if f.Changed && !f.Previous.IsZero() {
		c.ui.say("%s still answers its own URLs; to stop that: %s retire %s --now%s", f.Previous, c.program, f.Previous, flipFlags(f.App, holdfast.DefaultSide()))
	}
}
