package holdfast_test

import (
	"bytes"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

func samplePages(t testing.TB) *holdfast.Pages {
	t.Helper()
	p, err := holdfast.NewPages("/shop/@v1/", []holdfast.File{
		{Path: "index.html", Logical: "index.html", Digest: holdfast.DigestOf([]byte("page")), Size: 4, MediaType: "text/html; charset=utf-8"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPages(t *testing.T) {
	p := samplePages(t)
	again, err := holdfast.ParsePages(p.Bytes())
	if err != nil || again.Base() != "/shop/@v1/" || again.Digest() != p.Digest() || len(again.Variants()) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
	if v, ok := again.Lookup("index.html"); !ok || v.Size != 4 {
		t.Errorf("%+v, %v", v, ok)
	}
	for _, base := range []string{"", "/", "shop/", "/shop", "/a b/", "/\n/"} {
		if _, err := holdfast.NewPages(base, nil); (err == nil) != (base == "/" || base == "/a b/") {
			t.Errorf("base %q: %v", base, err)
		}
	}
}

// A list that a release's record names and its inventory lacks is none: another version
// of the program stored that release again.
func TestPagesOfAnInventory(t *testing.T) {
	p := samplePages(t)
	list := holdfast.Object{Digest: p.Digest(), Name: holdfast.ObjectName{Digest: p.Digest(), Incarnation: 2}, Size: int64(len(p.Bytes()))}
	inv, err := holdfast.NewInventory([]holdfast.Object{list})
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := inv.Pages(p.Digest()); !ok || got != list {
		t.Errorf("%+v, %v", got, ok)
	}
	for _, d := range []holdfast.Digest{{}, holdfast.DigestOf([]byte("other"))} {
		if got, ok := inv.Pages(d); ok {
			t.Errorf("%s: %+v", d, got)
		}
	}
}

func FuzzParsePages(f *testing.F) {
	f.Add(samplePages(f).Bytes())
	f.Add([]byte("holdfast pages 1\n/\nholdfast manifest 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := holdfast.ParsePages(text)
		if err == nil && !bytes.Equal(p.Bytes(), text) {
			t.Errorf("%q is read, and written as %q", text, p.Bytes())
		}
	})
}
