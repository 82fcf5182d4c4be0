package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	objectPrefix    = "objects/"
	manifestPrefix  = "manifests/"
	inventoryPrefix = "inventories/"
	condemnedPrefix = "condemned/"
)

// maxText bounds the text of a manifest or inventory, in bytes: about 1.5 million files.
// Anything longer was not written by us.
const maxText = 256 << 20

// Store keeps objects, manifests and inventories in a Driver. Everything written is
// checked against its digest before it becomes visible. All methods may be called
// concurrently, by several processes on one store.
//
// Errors wrap holdfast.ErrNotFound, ErrCorrupt, ErrExists or, for transient failures,
// ErrUnavailable. A Store never retries.
type Store struct{ driver Driver }

// New returns the Store in d.
func New(d Driver) *Store { return &Store{d} }

// PutObject stores the size bytes of r, durably, under name, and reports whether they
// were new. It is an error that wraps holdfast.ErrCorrupt if the bytes do not have the
// digest that names them, or if the store has a different number of bytes under name;
// then nothing was changed. If the object already exists, r may be left unread.
func (s *Store) PutObject(ctx context.Context, name holdfast.ObjectName, size int64, r io.Reader) (created bool, err error) {
	v := newVerifier(r, name.Digest, size)
	if v.err != nil && !errors.Is(v.err, io.EOF) { // a driver need not read any of 0 bytes
		return false, fmt.Errorf("put object %s: %w", name, v.err)
	}
	err = s.driver.Create(ctx, objectKey(name), size, v)
	switch {
	case err == nil:
		return true, nil
	case !errors.Is(err, holdfast.ErrExists):
		return false, fmt.Errorf("put object %s: %w", name, err)
	}
	there, err := s.HasObject(ctx, name, size)
	if err == nil && !there {
		err = fmt.Errorf("%w: it existed and was deleted a moment later", holdfast.ErrUnavailable)
	}
	if err != nil {
		return false, fmt.Errorf("put object %s: %w", name, err)
	}
	return false, nil
}

// HasObject reports whether the object is stored durably, without reading it. An
// unexpected size is an error that wraps holdfast.ErrCorrupt.
func (s *Store) HasObject(ctx context.Context, name holdfast.ObjectName, size int64) (bool, error) {
	info, err := s.driver.Stat(ctx, objectKey(name))
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up object %s: %w", name, err)
	case info.Size != size:
		return false, fmt.Errorf("look up object %s: %w: it has %d bytes, want %d", name, holdfast.ErrCorrupt, info.Size, size)
	}
	return true, nil
}

// OpenObject returns up to n bytes of the object from offset off; n < 0 means the rest.
// The bytes are not verified: package blob does that before serving them. The caller
// closes the reader.
func (s *Store) OpenObject(ctx context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error) {
	r, err := s.driver.Open(ctx, objectKey(name), off, n)
	if err != nil {
		return nil, fmt.Errorf("open object %s: %w", name, err)
	}
	return r, nil
}

// VerifyObject reads the whole object and reports whether it has the expected
// size and digest; if not, the error wraps holdfast.ErrCorrupt.
func (s *Store) VerifyObject(ctx context.Context, name holdfast.ObjectName, size int64) error {
	r, err := s.OpenObject(ctx, name, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	if _, err := io.Copy(io.Discard, newVerifier(r, name.Digest, size)); err != nil {
		return fmt.Errorf("verify object %s: %w", name, err)
	}
	return nil
}

// PutManifest stores a manifest under its digest. Storing it again only reads it: damaged
// stored bytes are ErrCorrupt.
func (s *Store) PutManifest(ctx context.Context, m *holdfast.Manifest) error {
	if err := s.putText(ctx, manifestPrefix, m.Digest(), m.Bytes()); err != nil {
		return fmt.Errorf("put manifest %s: %w", m.Digest(), err)
	}
	return nil
}

// Manifest returns the manifest with the digest d, verified.
func (s *Store) Manifest(ctx context.Context, d holdfast.Digest) (*holdfast.Manifest, error) {
	m, err := getText(ctx, s.driver, manifestPrefix, d, holdfast.ParseManifest)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", d, err)
	}
	return m, nil
}

// PutInventory stores an inventory under its digest, like PutManifest.
func (s *Store) PutInventory(ctx context.Context, inv *holdfast.Inventory) error {
	if err := s.putText(ctx, inventoryPrefix, inv.Digest(), inv.Bytes()); err != nil {
		return fmt.Errorf("put inventory %s: %w", inv.Digest(), err)
	}
	return nil
}

// Inventory returns the inventory with the digest d, verified.
func (s *Store) Inventory(ctx context.Context, d holdfast.Digest) (*holdfast.Inventory, error) {
	inv, err := getText(ctx, s.driver, inventoryPrefix, d, holdfast.ParseInventory)
	if err != nil {
		return nil, fmt.Errorf("read inventory %s: %w", d, err)
	}
	return inv, nil
}

// Pages returns the list of pinned variants that is the object o, verified.
func (s *Store) Pages(ctx context.Context, o holdfast.Object) (*holdfast.Pages, error) {
	text, err := readText(ctx, s.driver, objectKey(o.Name), o.Digest)
	if err != nil {
		return nil, fmt.Errorf("read list of pages %s: %w", o.Name, err)
	}
	return holdfast.ParsePages(text)
}

// PutCondemned stores a condemned list under its digest. Storing it again does nothing.
func (s *Store) PutCondemned(ctx context.Context, c *holdfast.Condemned) error {
	if err := s.putText(ctx, condemnedPrefix, c.Digest(), c.Bytes()); err != nil {
		return fmt.Errorf("put condemned list %s: %w", c.Digest(), err)
	}
	return nil
}

// Condemned returns the condemned list with the digest d, verified.
func (s *Store) Condemned(ctx context.Context, d holdfast.Digest) (*holdfast.Condemned, error) {
	c, err := getText(ctx, s.driver, condemnedPrefix, d, holdfast.ParseCondemned)
	if err != nil {
		return nil, fmt.Errorf("read condemned list %s: %w", d, err)
	}
	return c, nil
}

// DeleteObject deletes an object; a missing one is not an error. Nothing may refer to it,
// now or later: package prune ensures that.
func (s *Store) DeleteObject(ctx context.Context, name holdfast.ObjectName) error {
	return s.remove(ctx, "object "+name.String(), objectKey(name))
}

// DeleteInventory deletes an inventory, like DeleteObject.
func (s *Store) DeleteInventory(ctx context.Context, d holdfast.Digest) error {
	return s.remove(ctx, "inventory "+d.String(), inventoryPrefix+d.String())
}

// DeleteManifest deletes a manifest, like DeleteObject.
func (s *Store) DeleteManifest(ctx context.Context, d holdfast.Digest) error {
	return s.remove(ctx, "manifest "+d.String(), manifestPrefix+d.String())
}

// DeleteCondemned deletes a list that is no longer needed.
func (s *Store) DeleteCondemned(ctx context.Context, d holdfast.Digest) error {
	return s.remove(ctx, "condemned list "+d.String(), condemnedPrefix+d.String())
}

func (s *Store) remove(ctx context.Context, what, key string) error {
	if err := s.driver.Delete(ctx, key); err != nil {
		return fmt.Errorf("delete %s: %w", what, err)
	}
	return nil
}

// ObjectInfo describes a stored object.
type ObjectInfo struct {
	Name    holdfast.ObjectName
	Size    int64     // bytes
	Created time.Time // by the store's clock
}

// TextInfo describes a stored manifest or inventory.
type TextInfo struct {
	Digest  holdfast.Digest
	Size    int64     // bytes
	Created time.Time // by the store's clock
}

// Objects yields all objects in the order of their names. A key among them that is not an
// object's yields an error that wraps holdfast.ErrInvalid, and the sequence continues;
// any other error ends it.
func (s *Store) Objects(ctx context.Context) iter.Seq2[ObjectInfo, error] {
	return list(ctx, s.driver, objectPrefix, func(rest string, i Info) (ObjectInfo, error) {
		_, text, _ := strings.Cut(rest, "/")
		name, err := holdfast.ParseObjectName(text)
		if err == nil && objectKey(name) != i.Key {
			err = fmt.Errorf("%w: object %s lies in a wrong place", holdfast.ErrInvalid, name)
		}
		return ObjectInfo{name, i.Size, i.Created}, err
	})
}

// Incarnations returns the objects whose bytes have the digest d, by name, whether or not
// a release refers to them.
func (s *Store) Incarnations(ctx context.Context, d holdfast.Digest) ([]holdfast.Object, error) {
	var all []holdfast.Object
	for info, err := range s.driver.List(ctx, objectKey(holdfast.ObjectName{Digest: d}), "") {
		if err != nil {
			return all, fmt.Errorf("look for incarnations of %s: %w", d, err)
		}
		_, text, _ := strings.Cut(strings.TrimPrefix(info.Key, objectPrefix), "/")
		if name, err := holdfast.ParseObjectName(text); err == nil {
			all = append(all, holdfast.Object{Digest: d, Name: name, Size: info.Size})
		}
	}
	return all, nil
}

// DeleteDead deletes the objects that are dead according to down, and returns how many
// there were. If interrupted, the next call continues. Nothing that is stored later has
// one of their names, so a delete may arrive arbitrarily late.
func (s *Store) DeleteDead(ctx context.Context, down *holdfast.Takedowns) (deleted int, err error) {
	for _, t := range down.All() {
		for _, d := range t.Stored() {
			objects, err := s.Incarnations(ctx, d)
			if err != nil {
				return deleted, err
			}
			for _, o := range objects {
				if !down.Dead(o.Name) {
					continue
				}
				if err := s.DeleteObject(ctx, o.Name); err != nil {
					return deleted, err
				}
				deleted++
			}
		}
	}
	return deleted, nil
}

// Manifests yields all manifests in the order of their digests, with errors like Objects.
func (s *Store) Manifests(ctx context.Context) iter.Seq2[TextInfo, error] {
	return list(ctx, s.driver, manifestPrefix, parseTextInfo)
}

// Inventories yields all inventories in the order of their digests, with errors like
// Objects.
func (s *Store) Inventories(ctx context.Context) iter.Seq2[TextInfo, error] {
	return list(ctx, s.driver, inventoryPrefix, parseTextInfo)
}

// CondemnedLists yields all condemned lists in the order of their digests, with errors
// like Objects.
func (s *Store) CondemnedLists(ctx context.Context) iter.Seq2[TextInfo, error] {
	return list(ctx, s.driver, condemnedPrefix, parseTextInfo)
}

func parseTextInfo(rest string, i Info) (TextInfo, error) {
	d, err := holdfast.ParseDigest(rest)
	return TextInfo{d, i.Size, i.Created}, err
}

func list[T any](ctx context.Context, driver Driver, prefix string, parse func(rest string, i Info) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		for info, err := range driver.List(ctx, prefix, "") {
			if err != nil {
				yield(zero, fmt.Errorf("list %s: %w", prefix, err))
				return
			}
			item, err := parse(strings.TrimPrefix(info.Key, prefix), info)
			if err != nil {
				item, err = zero, fmt.Errorf("list %s: key %s: %w", prefix, info.Key, err)
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

func (s *Store) putText(ctx context.Context, prefix string, d holdfast.Digest, text []byte) error {
	err := s.driver.Create(ctx, prefix+d.String(), int64(len(text)), bytes.NewReader(text))
	if !errors.Is(err, holdfast.ErrExists) {
		return err
	}
	_, err = readText(ctx, s.driver, prefix+d.String(), d)
	return err
}

func getText[T any](ctx context.Context, driver Driver, prefix string, d holdfast.Digest, parse func([]byte) (T, error)) (T, error) {
	text, err := readText(ctx, driver, prefix+d.String(), d)
	if err != nil {
		var zero T
		return zero, err
	}
	return parse(text)
}

// readText returns the text under key, whose digest must be d.
func readText(ctx context.Context, driver Driver, key string, d holdfast.Digest) ([]byte, error) {
	r, err := driver.Open(ctx, key, 0, maxText+1)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if got := holdfast.DigestOf(text); got != d {
		return nil, fmt.Errorf("%w: %d bytes with the digest %s lie there; delete %s from the store, and publish the same build again",
			holdfast.ErrCorrupt, len(text), got, key)
	}
	return text, nil
}

// objectKey spreads objects over 256 directories: many file systems are slow with a
// million names in one directory.
func objectKey(name holdfast.ObjectName) string {
	text := name.String()
	return objectPrefix + text[:2] + "/" + text
}
