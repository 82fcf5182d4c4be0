package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func nameOf(data []byte) holdfast.ObjectName {
	return holdfast.ObjectName{Digest: holdfast.DigestOf(data)}
}

func keyOf(name holdfast.ObjectName) string {
	return "objects/" + name.String()[:2] + "/" + name.String()
}

func put(t *testing.T, s *store.Store, data []byte) holdfast.ObjectName {
	t.Helper()
	name := nameOf(data)
	created, err := s.PutObject(t.Context(), name, int64(len(data)), bytes.NewReader(data))
	if err != nil || !created {
		t.Fatalf("PutObject = %v, %v, want true", created, err)
	}
	return name
}

func TestPutObject(t *testing.T) {
	d := memstore.New()
	s := store.New(d)
	for _, data := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 50_000)} {
		name, size := put(t, s, data), int64(len(data))
		if created, err := s.PutObject(t.Context(), name, size, bytes.NewReader(data)); err != nil || created {
			t.Errorf("second PutObject = %v, %v, want false", created, err)
		}
		if there, err := s.HasObject(t.Context(), name, size); err != nil || !there {
			t.Errorf("HasObject = %v, %v", there, err)
		}
		if err := s.VerifyObject(t.Context(), name, size); err != nil {
			t.Errorf("VerifyObject = %v", err)
		}
		next := holdfast.ObjectName{Digest: name.Digest, Incarnation: 3}
		if there, err := s.HasObject(t.Context(), next, size); err != nil || there {
			t.Errorf("HasObject of another incarnation = %v, %v", there, err)
		}
		if created, err := s.PutObject(t.Context(), next, size, bytes.NewReader(data)); err != nil || !created {
			t.Errorf("PutObject of another incarnation = %v, %v", created, err)
		}
		r, err := s.OpenObject(t.Context(), next, 1, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[min(1, len(data)):]) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	}
}

// Bytes that do not match the digest never become visible, for any kind of reader.
func TestPutObjectWrongBytes(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 10_000)
	flipped := slices.Clone(data)
	flipped[len(flipped)-1] ^= 1
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		size int64
		r    func() io.Reader
		want error
	}{
		"Flipped":         {int64(len(data)), func() io.Reader { return bytes.NewReader(flipped) }, holdfast.ErrCorrupt},
		"FlippedWithEOF":  {int64(len(data)), func() io.Reader { return iotest.DataErrReader(bytes.NewReader(flipped)) }, holdfast.ErrCorrupt},
		"Short":           {int64(len(data)), func() io.Reader { return bytes.NewReader(data[1:]) }, holdfast.ErrCorrupt},
		"Long":            {int64(len(data)), func() io.Reader { return bytes.NewReader(append(slices.Clone(data), 0)) }, holdfast.ErrCorrupt},
		"WrongSize":       {int64(len(data)) - 1, func() io.Reader { return bytes.NewReader(data) }, holdfast.ErrCorrupt},
		"NoBytes":         {0, func() io.Reader { return bytes.NewReader(nil) }, holdfast.ErrCorrupt},
		"NegativeSize":    {-1, func() io.Reader { return bytes.NewReader(data) }, holdfast.ErrInvalid},
		"ReaderFails":     {int64(len(data)), func() io.Reader { return io.MultiReader(bytes.NewReader(data[:99]), iotest.ErrReader(broken)) }, broken},
		"ReaderFailsLate": {int64(len(data)), func() io.Reader { return io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)) }, broken},
	} {
		t.Run(name, func(t *testing.T) {
			for driver, d := range map[string]store.Driver{"whole": memstore.New(), "exact": exactDriver{memstore.New()}} {
				s := store.New(d)
				created, err := s.PutObject(t.Context(), nameOf(data), test.size, test.r())
				if created || !errors.Is(err, test.want) {
					t.Errorf("%s: PutObject = %v, %v, want %v", driver, created, err, test.want)
				}
				if there, err := s.HasObject(t.Context(), nameOf(data), test.size); there || err != nil {
					t.Errorf("%s: HasObject = %v, %v", driver, there, err)
				}
			}
		})
	}
}

// exactDriver never reads more bytes than the announced size.
type exactDriver struct{ *memstore.Driver }

func (d exactDriver) Create(ctx context.Context, key string, size int64, r io.Reader) error {
	return d.Driver.Create(ctx, key, size, io.LimitReader(r, size))
}

func TestStoredBytesGoBad(t *testing.T) {
	data := []byte("some bytes")
	size := int64(len(data))
	for name, change := range map[string]func([]byte) []byte{
		"Flip":  func(b []byte) []byte { b[3] ^= 0x10; return b },
		"Cut":   func(b []byte) []byte { return b[:5] },
		"Grow":  func(b []byte) []byte { return append(b, 'x') },
		"Empty": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := memstore.New()
			s := store.New(d)
			obj := put(t, s, data)
			d.Change(keyOf(obj), change)
			if err := s.VerifyObject(t.Context(), obj, size); !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("VerifyObject = %v, want ErrCorrupt", err)
			}
			if name == "Flip" {
				return // only reading all of it shows
			}
			if _, err := s.HasObject(t.Context(), obj, size); !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("HasObject = %v, want ErrCorrupt", err)
			}
			if created, err := s.PutObject(t.Context(), obj, size, bytes.NewReader(data)); created || !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("PutObject = %v, %v, want ErrCorrupt", created, err)
			}
		})
	}
}

func TestTexts(t *testing.T) {
	file := holdfast.DigestOf([]byte("x"))
	m, err := holdfast.NewManifest([]holdfast.File{{Path: "index.html", Digest: file, Size: 1, MediaType: "text/html", Logical: "index.html"}})
	if err != nil {
		t.Fatal(err)
	}
	inv, err := holdfast.NewInventory([]holdfast.Object{{Digest: file, Name: holdfast.ObjectName{Digest: file}, Size: 1}})
	if err != nil {
		t.Fatal(err)
	}
	d := memstore.New()
	s := store.New(d)
	if _, err := s.Manifest(t.Context(), m.Digest()); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Manifest of nothing = %v", err)
	}
	for range 2 {
		if err := errors.Join(s.PutManifest(t.Context(), m), s.PutInventory(t.Context(), inv)); err != nil {
			t.Fatal(err)
		}
	}
	gotM, err := s.Manifest(t.Context(), m.Digest())
	if err != nil || !bytes.Equal(gotM.Bytes(), m.Bytes()) {
		t.Errorf("Manifest = %v", err)
	}
	gotInv, err := s.Inventory(t.Context(), inv.Digest())
	if err != nil || !bytes.Equal(gotInv.Bytes(), inv.Bytes()) {
		t.Errorf("Inventory = %v", err)
	}
	for _, key := range []string{"manifests/" + m.Digest().String(), "inventories/" + inv.Digest().String()} {
		if !d.Change(key, func(b []byte) []byte { return append(b, '\n') }) {
			t.Errorf("nothing under the key %s", key)
		}
	}
	if _, err := s.Manifest(t.Context(), m.Digest()); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("Manifest of changed bytes = %v, want ErrCorrupt", err)
	}
	if _, err := s.Inventory(t.Context(), inv.Digest()); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("Inventory of changed bytes = %v, want ErrCorrupt", err)
	}
	for _, err := range []error{s.PutManifest(t.Context(), m), s.PutInventory(t.Context(), inv)} {
		if !errors.Is(err, holdfast.ErrCorrupt) {
			t.Errorf("put over changed bytes = %v, want ErrCorrupt", err)
		}
	}
}

func TestListings(t *testing.T) {
	d := memstore.New()
	s := store.New(d)
	var want []holdfast.ObjectName
	for _, text := range []string{"a", "b", "c", "d", "e", "f"} {
		want = append(want, put(t, s, []byte(text)))
	}
	slices.SortFunc(want, func(a, b holdfast.ObjectName) int { return strings.Compare(a.String(), b.String()) })
	foreign := []string{"objects/aa/readme", "objects/zz/" + want[0].String(), "objects/flat"}
	for _, key := range foreign {
		if err := d.Create(t.Context(), key, 0, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
	}
	var got []holdfast.ObjectName
	bad := 0
	for o, err := range s.Objects(t.Context()) {
		switch {
		case errors.Is(err, holdfast.ErrInvalid):
			bad++
		case err != nil || o.Size != 1 || o.Created.IsZero():
			t.Errorf("Objects yields %+v, %v", o, err)
		default:
			got = append(got, o.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || bad != len(foreign) {
		t.Errorf("Objects: %d errors, want %d; names (-want +got):\n%s", bad, len(foreign), diff)
	}
	m, err := holdfast.NewManifest(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutManifest(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for info, err := range s.Manifests(t.Context()) {
		if err != nil || info.Digest != m.Digest() || info.Size != int64(len(m.Bytes())) {
			t.Errorf("Manifests yields %+v, %v", info, err)
		}
	}
	for info, err := range s.Inventories(t.Context()) {
		t.Errorf("Inventories yields %+v, %v, want nothing", info, err)
	}
}

func TestListingFails(t *testing.T) {
	d := memstore.New()
	d.SetHook(func(context.Context, memstore.Op, string) error { return holdfast.ErrUnavailable })
	n := 0
	for _, err := range store.New(d).Objects(t.Context()) {
		if n++; !errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Objects yields %v", err)
		}
	}
	if n != 1 {
		t.Errorf("Objects yields %d times, want the error alone", n)
	}
}

func TestClaim(t *testing.T) {
	d := memstore.New()
	s := store.New(d)
	if _, err := s.Owner(t.Context()); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Owner of an unclaimed store = %v", err)
	}
	if err := s.Claim(t.Context(), ""); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("Claim for nobody = %v", err)
	}
	for range 2 {
		if err := s.Claim(t.Context(), "reg-1"); err != nil {
			t.Errorf("Claim = %v", err)
		}
	}
	if calls := d.Calls().Create; calls != 1 {
		t.Errorf("%d creates, want 1", calls)
	}
	if owner, err := s.Owner(t.Context()); owner != "reg-1" || err != nil {
		t.Errorf("Owner = %q, %v", owner, err)
	}
	err := s.Claim(t.Context(), "reg-2")
	if !errors.Is(err, holdfast.ErrExists) || !strings.Contains(err.Error(), "reg-1") || !strings.Contains(err.Error(), "another store") {
		t.Errorf("Claim of somebody else's store = %v", err)
	}
	for text, want := range map[string]error{
		`{"format":2,"registry":"reg-1"}`: holdfast.ErrInvalid,
		`{"format":1}`:                    holdfast.ErrCorrupt,
		`{"for`:                           holdfast.ErrCorrupt,
		``:                                holdfast.ErrCorrupt,
	} {
		d.Change("holdfast-store.json", func([]byte) []byte { return []byte(text) })
		if err := s.Claim(t.Context(), "reg-1"); !errors.Is(err, want) {
			t.Errorf("Claim of a store with the marker %q = %v, want %v", text, err, want)
		}
	}
}

// A store has an identity, which a copy shares; a store claimed by an earlier version
// derives it from its marker.
func TestIdentity(t *testing.T) {
	var ids []string
	for range 2 { // of one registry, in the same second
		d := memstore.New()
		s := store.New(d)
		if _, err := s.Identity(t.Context()); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("Identity of an unclaimed store: %v", err)
		}
		if err := s.Claim(t.Context(), "reg-1"); err != nil {
			t.Fatal(err)
		}
		id, err := s.Identity(t.Context())
		if err != nil || id == "" {
			t.Errorf("%q, %v", id, err)
		}
		ids = append(ids, id)
		d.Change("holdfast-store.json", func([]byte) []byte {
			return []byte(`{"format":1,"registry":"reg-1","created":"2024-05-17T10:00:00Z"}`)
		})
		for range 2 {
			if id, err = s.Identity(t.Context()); err != nil || len(id) != 32 || id == ids[len(ids)-1] {
				t.Errorf("by an earlier version: %q, %v", id, err)
			}
		}
	}
	if ids[0] == ids[1] {
		t.Errorf("two stores have the identity %s", ids[0])
	}
}

func TestClaimRace(t *testing.T) {
	s := store.New(memstore.New())
	won := make([]bool, 20)
	var wg sync.WaitGroup
	for i := range won {
		wg.Go(func() {
			err := s.Claim(t.Context(), string(rune('a'+i)))
			won[i] = err == nil
			if err != nil && !errors.Is(err, holdfast.ErrExists) {
				t.Errorf("Claim = %v", err)
			}
		})
	}
	wg.Wait()
	winner := slices.Index(won, true)
	if winner < 0 || slices.Contains(won[winner+1:], true) {
		t.Fatalf("winners: %v, want exactly one", won)
	}
	if owner, err := s.Owner(t.Context()); owner != string(rune('a'+winner)) || err != nil {
		t.Errorf("Owner = %q, %v", owner, err)
	}
}

// Incarnations finds the incarnations of a digest, and nothing else.
func TestIncarnations(t *testing.T) {
	s := store.New(memstore.New())
	name := put(t, s, []byte("x"))
	put(t, s, []byte("y"))
	want := []holdfast.Object{{Digest: name.Digest, Name: name, Size: 1}}
	for _, n := range []uint32{3, 20} {
		next := holdfast.ObjectName{Digest: name.Digest, Incarnation: n}
		if _, err := s.PutObject(t.Context(), next, 1, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		want = append(want, holdfast.Object{Digest: name.Digest, Name: next, Size: 1})
	}
	got, err := s.Incarnations(t.Context(), name.Digest)
	slices.SortFunc(got, func(a, b holdfast.Object) int { return a.Name.Compare(b.Name) })
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
