package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// manifests stores texts from the store in the state directory, and reads existing ones
// from there, verified.
type manifests struct {
	from    live.Manifests
	state   *state
	failing atomic.Bool // the last write failed, and that was logged
}

var _ live.Manifests = (*manifests)(nil)

// Manifest implements live.Manifests.
func (m *manifests) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	return through(ctx, m, manifestDir, d, m.from.Manifest, holdfast.ParseManifest)
}

// Inventory implements live.Manifests.
func (m *manifests) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	return through(ctx, m, inventoryDir, d, m.from.Inventory, holdfast.ParseInventory)
}

// Pages implements live.Manifests.
func (m *manifests) Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error) {
	get := func(ctx context.Context, _ holdfast.Digest) (*holdfast.Pages, error) { return m.from.Pages(ctx, o) }
	return through(ctx, m, pagesDir, o.Digest, get, holdfast.ParsePages)
}

// text is a value with a canonical text form.
type text interface{ Bytes() []byte }

// through gets a value from the directory, else from the store, and then stores it. A
// disk that is full or broken is no reason not to serve.
func through[T text](ctx context.Context, m *manifests, dir string, d holdfast.Digest,
	get func(context.Context, holdfast.Digest) (T, error), parse func([]byte) (T, error),
) (T, error) {
	name := dir + d.String()
	v, err := load(m.state, name, d, parse)
	if err == nil {
		return v, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		m.state.log.Warn("kept file ignored: it is broken", "directory", m.state.path, "file", name, "error", err)
		_ = m.state.dir.Remove(name) // else the one to come fails, and is logged
	}
	if v, err = get(ctx, d); err != nil {
		return v, err
	}
	m.save(name, v.Bytes())
	return v, nil
}

// load reads a value from the directory, and checks it.
func load[T text](s *state, name string, d holdfast.Digest, parse func([]byte) (T, error)) (v T, err error) {
	data, err := s.read(name)
	if err != nil {
		return v, err
	}
	if holdfast.DigestOf(data) != d {
		return v, holdfast.ErrCorrupt
	}
	return parse(data)
}

func (m *manifests) save(name string, data []byte) {
	err := m.state.tree.Create(name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if failed := err != nil; m.failing.Swap(failed) != failed && failed {
		m.state.log.Warn("manifests not kept: after a restart this node needs the store to serve", "directory", m.state.path, "error", err)
	}
}
