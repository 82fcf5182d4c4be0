// Package storetest is the conformance suite of store.Driver. Every driver runs it,
// against the real service.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Run tests the drivers that open returns, each on a new empty store.
func Run(t *testing.T, open func(t *testing.T) store.Driver) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, store.Driver)
	}{
		{"RoundTrip", testRoundTrip},
		{"Range", testRange},
		{"NotFound", testNotFound},
		{"Exists", testExists},
		{"BadReader", testBadReader},
		{"InvalidKey", testInvalidKey},
		{"InvalidNumber", testInvalidNumber},
		{"Delete", testDelete},
		{"Cancelled", testCancelled},
		{"CancelledMidway", testCancelledMidway},
		{"List", testList},
		{"ListMany", testListMany},
		{"ListEnds", testListEnds},
		{"CreateRace", testCreateRace},
		{"Concurrent", testConcurrent},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// noise returns n incompressible bytes, the same for the same n.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = r.Read(b) // never fails
	return b
}

func create(t *testing.T, d store.Driver, key string, data []byte) {
	t.Helper()
	if err := d.Create(t.Context(), key, int64(len(data)), bytes.NewReader(data)); err != nil {
		t.Fatalf("Create(%s): %v", key, err)
	}
}

func read(t *testing.T, d store.Driver, key string, off, n int64) []byte {
	t.Helper()
	r, err := d.Open(t.Context(), key, off, n)
	if err != nil {
		t.Fatalf("Open(%s, %d, %d): %v", key, off, n, err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return data
}

// wantAbsent fails the test if any trace of key is visible.
func wantAbsent(t *testing.T, d store.Driver, key string) {
	t.Helper()
	if _, err := d.Stat(t.Context(), key); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Stat(%s) = %v, want ErrNotFound", key, err)
	}
	if r, err := d.Open(t.Context(), key, 0, -1); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Open(%s) = %v, want ErrNotFound", key, err)
		if err == nil {
			_ = r.Close()
		}
	}
	if got := keys(t, d, key, ""); slices.Contains(got, key) {
		t.Errorf("List(%s) = %q, want nothing of it", key, got)
	}
}

func testRoundTrip(t *testing.T, d store.Driver) {
	for key, size := range map[string]int{
		"empty": 0, "objects/aa/one": 1, "objects/aa/some": 70_000, "a/b/c/d.e_f-g": 3, "holdfast-store.json": 100,
		"objects/ff/" + strings.Repeat("f", 64) + ".4294967295": 16 << 20,
	} {
		want := noise(size)
		create(t, d, key, want)
		if got := read(t, d, key, 0, -1); !bytes.Equal(got, want) {
			t.Errorf("%s: read %d bytes other than the %d written", key, len(got), len(want))
		}
		info, err := d.Stat(t.Context(), key)
		if err != nil || info.Key != key || info.Size != int64(size) || info.Created.IsZero() {
			t.Errorf("Stat(%s) = %+v, %v, want %d bytes and a time", key, info, err, size)
		}
	}
}

func testRange(t *testing.T, d store.Driver) {
	data := noise(1000)
	create(t, d, "objects/aa/x", data)
	create(t, d, "objects/aa/empty", nil)
	for _, test := range []struct {
		off, n int64
		want   []byte
	}{
		{0, -1, data},
		{0, 0, nil},
		{0, 1, data[:1]},
		{10, 20, data[10:30]},
		{990, -7, data[990:]},
		{990, 10, data[990:]},
		{990, 11, data[990:]},
		{999, 1 << 62, data[999:]},
		{1000, -1, nil},
		{1000, 5, nil},
		{5000, 5, nil},
		{1 << 62, -1, nil},
	} {
		if got := read(t, d, "objects/aa/x", test.off, test.n); !bytes.Equal(got, test.want) {
			t.Errorf("read from %d, %d bytes: got %d bytes, want %d, or they differ", test.off, test.n, len(got), len(test.want))
		}
		if got := read(t, d, "objects/aa/empty", test.off, test.n); len(got) != 0 {
			t.Errorf("read of nothing from %d, %d bytes: got %d bytes", test.off, test.n, len(got))
		}
	}
}

func testNotFound(t *testing.T, d store.Driver) {
	create(t, d, "objects/aa/x", noise(3))
	for _, key := range []string{"objects/aa/y", "objects/bb/x", "objects/aa", "objects", "x", "objects/aa/x/y"} {

		if _, err := d.Stat(t.Context(), key); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("Stat(%s) = %v, want ErrNotFound", key, err)
		}
		if _, err := d.Open(t.Context(), key, 0, -1); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("Open(%s) = %v, want ErrNotFound", key, err)
		}
	}
}

func testExists(t *testing.T, d store.Driver) {
	first := noise(100)
	create(t, d, "objects/aa/x", first)
	for _, again := range [][]byte{first, noise(100)[:50], noise(200), nil} {
		err := d.Create(t.Context(), "objects/aa/x", int64(len(again)), bytes.NewReader(again))
		if !errors.Is(err, holdfast.ErrExists) {
			t.Errorf("second Create = %v, want ErrExists", err)
		}
	}
	if got := read(t, d, "objects/aa/x", 0, -1); !bytes.Equal(got, first) {
		t.Error("a later Create changed the bytes")
	}
}

func testBadReader(t *testing.T, d store.Driver) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		size int64
		r    io.Reader
		want error
	}{
		"FailsAtOnce":   {100, iotest.ErrReader(broken), broken},
		"FailsMidway":   {100_000, io.MultiReader(bytes.NewReader(noise(50_000)), iotest.ErrReader(broken)), broken},
		"FailsAtTheEnd": {100_000, io.MultiReader(bytes.NewReader(noise(100_000)), iotest.ErrReader(broken)), broken},
		"FailsWithData": {10, iotest.DataErrReader(io.MultiReader(bytes.NewReader(noise(5)), iotest.ErrReader(broken))), broken},
		"FailsEmpty":    {0, iotest.ErrReader(broken), broken},
		"Corrupt":       {10, iotest.ErrReader(holdfast.ErrCorrupt), holdfast.ErrCorrupt},
		"Short":         {100, bytes.NewReader(noise(99)), nil},
		"Long":          {100, bytes.NewReader(noise(101)), nil},
		"LongByALot":    {100, bytes.NewReader(noise(1 << 20)), nil},
		"NotEmpty":      {0, bytes.NewReader(noise(1)), nil},
		"Empty":         {1, bytes.NewReader(nil), nil},
	} {
		key := "objects/aa/" + name
		err := d.Create(t.Context(), key, test.size, test.r)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: Create = %v, want %v", name, err, test.want)
		}
		if errors.Is(err, holdfast.ErrExists) || errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("%s: Create = %v, but it is the reader that failed", name, err)
		}
		wantAbsent(t, d, key)
		create(t, d, key, noise(10)) // an earlier failure does not block it
	}
	// Readers that are slow but correct.
	for name, r := range map[string]io.Reader{
		"ByteByByte":  iotest.OneByteReader(bytes.NewReader(noise(100))),
		"EOFWithData": iotest.DataErrReader(bytes.NewReader(noise(100))),
	} {
		if err := d.Create(t.Context(), name, 100, r); err != nil {
			t.Errorf("%s: Create = %v", name, err)
		}
	}
}

func testInvalidKey(t *testing.T, d store.Driver) {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.hidden", ".tmp/x", "a b", "a\\b", "a\x00b",
		"ä", "a:b", "a?b", "a%2fb", "a\nb", strings.Repeat("x", 256), strings.Repeat("x/", 600) + "x",
	} {
		if err := d.Create(t.Context(), key, 1, bytes.NewReader(noise(1))); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Create(%q) = %v, want ErrInvalid", key, err)
		}
		if _, err := d.Open(t.Context(), key, 0, -1); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Open(%q) = %v, want ErrInvalid", key, err)
		}
		if _, err := d.Stat(t.Context(), key); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Stat(%q) = %v, want ErrInvalid", key, err)
		}
		if err := d.Delete(t.Context(), key); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("Delete(%q) = %v, want ErrInvalid", key, err)
		}
	}
	if got := keys(t, d, "", ""); len(got) != 0 {
		t.Errorf("List = %q, want nothing", got)
	}
	for _, prefix := range []string{"..", "../", "/", ".tmp/", "a/../"} {
		if got := keys(t, d, prefix, ""); len(got) != 0 {
			t.Errorf("List(%q) = %q, want nothing", prefix, got)
		}
	}
}

func testInvalidNumber(t *testing.T, d store.Driver) {
	if err := d.Create(t.Context(), "a", -1, bytes.NewReader(nil)); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("Create of -1 bytes = %v, want ErrInvalid", err)
	}
	wantAbsent(t, d, "a")
	create(t, d, "a", noise(3))
	if _, err := d.Open(t.Context(), "a", -1, 2); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("Open from -1 = %v, want ErrInvalid", err)
	}
}

func testDelete(t *testing.T, d store.Driver) {
	for _, key := range []string{"objects/aa/x", "objects", "objects/aa", "nothing"} {
		if err := d.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s) of nothing = %v", key, err)
		}
	}
	create(t, d, "objects/aa/x", noise(3))
	create(t, d, "objects/aa/y", noise(4))
	for _, key := range []string{"objects", "objects/aa", "objects/aa/x", "objects/aa/x", "objects/aa/x/z"} {
		if err := d.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%s) = %v", key, err)
		}
	}
	wantAbsent(t, d, "objects/aa/x")
	if diff := cmp.Diff([]string{"objects/aa/y"}, keys(t, d, "", "")); diff != "" {
		t.Errorf("keys left over (-want +got):\n%s", diff)
	}
	if err := d.Delete(t.Context(), "objects/aa/y"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	create(t, d, "objects/aa/x", noise(5))
	if got := read(t, d, "objects/aa/x", 0, -1); !bytes.Equal(got, noise(5)) {
		t.Error("a key that was deleted and created again has other bytes")
	}
}

func testCancelled(t *testing.T, d store.Driver) {
	create(t, d, "a", noise(3))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := d.Open(ctx, "a", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Errorf("Read after the context of Open ended = %v, want Canceled", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	_, openErr := d.Open(ctx, "a", 0, -1)
	_, statErr := d.Stat(ctx, "a")
	_, listErr := collect(d.List(ctx, "", ""))
	for method, err := range map[string]error{
		"Create": d.Create(ctx, "b", 1, bytes.NewReader(noise(1))),
		"Open":   openErr,
		"Stat":   statErr,
		"List":   listErr,
		"Delete": d.Delete(ctx, "a"),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended = %v, want Canceled", method, err)
		}
	}
	wantAbsent(t, d, "b")
	if got := read(t, d, "a", 0, -1); !bytes.Equal(got, noise(3)) {
		t.Error("a Delete that was called off did its work")
	}
}

func testCancelledMidway(t *testing.T, d store.Driver) {
	ctx, cancel := context.WithCancel(t.Context())
	data := noise(200_000)
	r := io.MultiReader(bytes.NewReader(data[:100_000]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.EOF
	}), bytes.NewReader(data[100_000:]))
	if err := d.Create(ctx, "a", int64(len(data)), r); !errors.Is(err, context.Canceled) {
		t.Errorf("Create = %v, want Canceled", err)
	}
	wantAbsent(t, d, "a")
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
