package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// errNoBytes: no intact object of the store holds the bytes.
var errNoBytes = fmt.Errorf("%w in any form in the store", holdfast.ErrNotFound)

// Objects is the store's interface for callers without a build.
type Objects interface {
	Store
	OpenObject(ctx context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error)
	VerifyObject(ctx context.Context, name holdfast.ObjectName, size int64) error
	// Incarnations returns the objects that hold the very bytes with the digest d.
	Incarnations(ctx context.Context, d holdfast.Digest) ([]holdfast.Object, error)
}

// stored gets the blobs of a release from the store, in any form: objects of the
// release's own inventory first, then objects with the same digest, whichever release
// owns them, then forms that other releases list. It reads objects that it may not refer
// to, and compares them with their digest.
type stored struct {
	Objects
	manifest *holdfast.Manifest
	made     *remade

	asking  sync.Mutex
	others  []registry.ReleaseInfo // whose inventories may help and were not read yet
	lookups int                    // how many were

	mu    sync.Mutex
	forms map[holdfast.Digest][]holdfast.Object
}

// remade remembers the objects that were stored for other releases meanwhile.
type remade struct {
	mu    sync.Mutex
	forms map[holdfast.Digest][]holdfast.Object
}

func (m *remade) add(objects []holdfast.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, o := range objects {
		if !slices.Contains(m.forms[o.Digest], o) {
			m.forms[o.Digest] = append(m.forms[o.Digest], o)
		}
	}
}

func (m *remade) of(d holdfast.Digest) []holdfast.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.forms[d])
}

// storedBuild is the build of a release of which only the store has the files.
func storedBuild(ctx context.Context, from Objects, r *registry.ReleaseInfo, others []registry.ReleaseInfo, made *remade) (*Build, error) {
	m, err := from.Manifest(ctx, r.Manifest)
	if err != nil {
		return nil, err
	}
	s := &stored{Objects: from, manifest: m, made: made, others: others, forms: make(map[holdfast.Digest][]holdfast.Object)}
	b := &Build{Manifest: m, sources: make(map[holdfast.Digest]source, len(m.Files())), from: s}
	for i := range m.Files() {
		f := &m.Files()[i]
		b.sources[f.Digest] = source{path: f.Path, size: f.Size, media: f.MediaType}
	}
	if err := s.learn(ctx, r.Inventory); err != nil {
		return nil, err
	}
	if len(s.forms) == 0 { // of no use; encoded forms are in other inventories, if anywhere
		err = s.readInventories(ctx)
	}
	return b, err
}

// remember records stored objects for later readers; a directory needs no memory.
func (b *Build) remember(made []holdfast.Object) {
	if b.from != nil {
		b.from.made.add(made)
	}
}

// learn notes the forms that an inventory lists of the build's blobs. One that
// cannot be read is of no help, and no obstacle.
func (s *stored) learn(ctx context.Context, d holdfast.Digest) error {
	inv, err := s.Inventory(ctx, d)
	if err != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.manifest.Files() {
		f := &s.manifest.Files()[i]
		for _, o := range inv.Of(f.Digest) {
			if !slices.Contains(s.forms[o.Digest], o) {
				s.forms[o.Digest] = append(s.forms[o.Digest], o)
			}
		}
	}
	return nil
}

// known returns the forms of a blob that are known by now, Identity first.
func (s *stored) known(d holdfast.Digest) []holdfast.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := append(s.made.of(d), s.forms[d]...)
	slices.SortStableFunc(all, func(a, b holdfast.Object) int { return int(a.Coding) - int(b.Coding) })
	return all
}

// candidates yields possible locations of the blob, the likely ones first.
func (s *stored) candidates(ctx context.Context, d holdfast.Digest) iter.Seq[holdfast.Object] {
	return func(yield func(holdfast.Object) bool) {
		tried := make(map[holdfast.ObjectName]bool)
		try := func(objects []holdfast.Object) bool {
			for _, o := range objects {
				if !tried[o.Name] && !yield(o) {
					return false
				}
				tried[o.Name] = true
			}
			return true
		}
		_ = try(s.known(d)) && try(s.incarnations(ctx, d)) && try(s.elsewhere(ctx, d))
	}
}

// incarnations must not fail the search: other places are tried as well.
func (s *stored) incarnations(ctx context.Context, d holdfast.Digest) []holdfast.Object {
	all, err := s.Incarnations(ctx, d)
	if err != nil {
		return nil
	}
	return all
}

// elsewhere returns what is known after other releases were searched.
func (s *stored) elsewhere(ctx context.Context, d holdfast.Digest) []holdfast.Object {
	if s.readInventories(ctx) != nil {
		return nil // the run ends
	}
	return s.known(d)
}

// readInventories reads the inventories of other releases, once; concurrent callers wait.
func (s *stored) readInventories(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	for len(s.others) > 0 && s.lookups < maxLookups {
		if err := s.learn(ctx, s.others[0].Inventory); err != nil {
			return err
		}
		s.others, s.lookups = s.others[1:], s.lookups+1
	}
	return nil
}

// has reports whether the blob seems to be there, without reading it.
func (s *stored) has(ctx context.Context, d holdfast.Digest) bool {
	for o := range s.candidates(ctx, d) {
		if there, err := s.HasObject(ctx, o.Name, o.Size); err == nil && there {
			return true
		}
	}
	return false
}

func (s *stored) whole(ctx context.Context, d holdfast.Digest, src source) ([]byte, error) {
	why := errNoBytes
	for o := range s.candidates(ctx, d) {
		identity, err := s.identity(ctx, o, src.size)
		if err == nil {
			return identity, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, holdfast.ErrUnavailable) {
			why = err // it may be there
		}
	}
	return nil, why
}

// identity reads one form and decodes it.
func (s *stored) identity(ctx context.Context, o holdfast.Object, size int64) ([]byte, error) {
	bytes, err := s.bytes(ctx, o)
	if err != nil {
		return nil, err
	}
	identity, err := coding.Decode(o.Coding, bytes, size)
	if err == nil && holdfast.DigestOf(identity) != o.Digest {
		err = fmt.Errorf("decode object %s: %w: the bytes have another digest", o.Name, holdfast.ErrCorrupt)
	}
	return identity, err
}

// bytes reads an object of at most coding.MaxSize, verified.
func (s *stored) bytes(ctx context.Context, o holdfast.Object) ([]byte, error) {
	r, err := s.OpenObject(ctx, o.Name, 0, coding.MaxSize+1)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("read object %s: %w", o.Name, err)
	}
	if holdfast.DigestOf(b.Bytes()) != o.Name.Digest {
		return nil, fmt.Errorf("read object %s: %w", o.Name, holdfast.ErrCorrupt)
	}
	return b.Bytes(), nil
}

// stream reads the object twice: first to see whether it is the right one to copy.
func (s *stored) stream(ctx context.Context, d holdfast.Digest, src source) (io.ReadCloser, error) {
	for o := range s.candidates(ctx, d) {
		if o.Coding == holdfast.Identity && o.Size == src.size && s.VerifyObject(ctx, o.Name, o.Size) == nil {
			return s.OpenObject(ctx, o.Name, 0, -1)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, errNoBytes
}

func (s *stored) encoded(ctx context.Context, d holdfast.Digest, _ source, c holdfast.Coding, identity []byte) []byte {
	for _, o := range s.known(d) {
		if o.Coding != c {
			continue
		}
		if b, err := s.bytes(ctx, o); err == nil && coding.Verify(c, b, identity) == nil {
			return b
		}
	}
	return nil
}

// Close does nothing: the store is not ours.
func (s *stored) Close() error { return nil }
