package holdfast

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func sampleFiles() []File {
	return []File{
		{Path: "index.html", Logical: "index.html", Digest: DigestOf([]byte("i")), Size: 1, MediaType: "text/html; charset=utf-8", Relative: true},
		{Path: "assets/app-DtbK3_aB.js", Logical: "assets/app-*.js", Digest: DigestOf([]byte("abc")), Size: 3, MediaType: "text/javascript; charset=utf-8"},
		{Path: "ü .txt", Logical: "ü .txt", Digest: DigestOf(nil), MediaType: "text/plain"},
	}
}

func TestManifest(t *testing.T) {
	m, err := NewManifest(sampleFiles())
	if err != nil {
		t.Fatal(err)
	}
	const want = "holdfast manifest 1\n" +
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\t3\ttext/javascript; charset=utf-8\tassets/app-*.js\t-\tassets/app-DtbK3_aB.js\n" +
		"de7d1b721a1e0632b7cf04edf5032c8ecffa9f9a08492152b926f1a5a7e765d7\t1\ttext/html; charset=utf-8\t=\tr\tindex.html\n" +
		someHex + "\t0\ttext/plain\t=\t-\tü .txt\n"
	if string(m.Bytes()) != want {
		t.Errorf("text\n%s", m.Bytes())
	}
	if m.Digest() != DigestOf(m.Bytes()) || m.Size() != 4 {
		t.Errorf("digest %s, size %d", m.Digest(), m.Size())
	}
	back, err := ParseManifest(m.Bytes())
	if err != nil || back.Digest() != m.Digest() {
		t.Fatalf("%v", err)
	}
	f, ok := back.Lookup("assets/app-DtbK3_aB.js")
	if !ok || !f.Fingerprinted() || f.Relative || f.Size != 3 {
		t.Errorf("%+v", f)
	}
	if _, ok := back.Lookup("assets/app"); ok {
		t.Error("found what is not there")
	}
}

func TestManifestOrderDoesNotMatter(t *testing.T) {
	files := sampleFiles()
	a, _ := NewManifest(files)
	b, _ := NewManifest([]File{files[2], files[0], files[1]})
	if a.Digest() != b.Digest() {
		t.Error("the identity depends on the order of files")
	}
}

func TestBadManifests(t *testing.T) {
	good := sampleFiles()[0]
	for name, change := range map[string]func(*File){
		"path":             func(f *File) { f.Path = "../x" },
		"size":             func(f *File) { f.Size = -1 },
		"no media type":    func(f *File) { f.MediaType = "" },
		"header splitting": func(f *File) { f.MediaType = "text/html\r\nX: y" },
		"no logical name":  func(f *File) { f.Logical = "" },
		"logical tab":      func(f *File) { f.Logical = "a\tb" },
		"reserved":         func(f *File) { f.Path, f.Logical = "@v1/x", "@v1/x" },
	} {
		f := good
		change(&f)
		if _, err := NewManifest([]File{f}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewManifest([]File{good, good}); !errors.Is(err, ErrInvalid) {
		t.Errorf("twice: %v", err)
	}
	m, _ := NewManifest(sampleFiles())
	text := string(m.Bytes())
	lines := strings.SplitAfter(text, "\n")
	for name, bad := range map[string]string{
		"empty":           "",
		"no header":       strings.Join(lines[1:], ""),
		"newer":           strings.Replace(text, "manifest 1", "manifest 2", 1),
		"cut off":         text[:len(text)-1],
		"cut in a line":   text[:len(text)-20] + "\n",
		"blank line":      text + "\n",
		"wrong order":     lines[0] + lines[2] + lines[1] + lines[3],
		"twice":           text + lines[3],
		"plus sign":       strings.Replace(text, "\t3\t", "\t+3\t", 1),
		"unknown flag":    strings.Replace(text, "\tr\t", "\tx\t", 1),
		"path as logical": strings.Replace(text, "\t=\tr\tindex.html", "\tindex.html\tr\tindex.html", 1),
		"CRLF":            strings.ReplaceAll(text, "\n", "\r\n"),
	} {
		if _, err := ParseManifest([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func sampleObjects() []Object {
	d, e := DigestOf([]byte("abc")), DigestOf(nil)
	return []Object{
		{d, Brotli, ObjectName{DigestOf([]byte("br")), 2}, 2},
		{d, Identity, ObjectName{Digest: d}, 3},
		{e, Identity, ObjectName{Digest: e}, 0},
	}
}

func TestInventory(t *testing.T) {
	inv, err := NewInventory(sampleObjects())
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseInventory(inv.Bytes())
	if err != nil || back.Digest() != inv.Digest() {
		t.Fatalf("%v\n%s", err, inv.Bytes())
	}
	of := back.Of(DigestOf([]byte("abc")))
	if len(of) != 2 || of[0].Coding != Identity || of[1].Name.Incarnation != 2 {
		t.Errorf("%+v", of)
	}
	if len(back.Of(DigestOf([]byte("x")))) != 0 {
		t.Error("found what is not there")
	}
	objects := sampleObjects()
	objects[1].Name.Digest = objects[2].Digest
	if _, err := NewInventory(objects); !errors.Is(err, ErrInvalid) {
		t.Errorf("identity bytes under another digest: %v", err)
	}
	if _, err := NewInventory(append(sampleObjects(), sampleObjects()[0])); !errors.Is(err, ErrInvalid) {
		t.Errorf("twice: %v", err)
	}
}

// The header names the generation, so the digest of a deleted inventory is never reused.
func TestInventoryGeneration(t *testing.T) {
	first, err := NewInventory(sampleObjects())
	if err != nil {
		t.Fatal(err)
	}
	later, err := NewInventoryIn(7, sampleObjects())
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseInventory(later.Bytes())
	if err != nil || back.Generation() != 7 || later.Digest() == first.Digest() {
		t.Errorf("%v\n%s", err, later.Bytes())
	}
	for _, header := range []string{", generation 0", ", generation 07", ", generation ", ", generation -1", ", generation 4294967296", " "} {
		bad := strings.Replace(string(first.Bytes()), inventoryHeader, inventoryHeader+header, 1)
		if _, err := ParseInventory([]byte(bad)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", header, err)
		}
	}
}

func sampleCondemned(t testing.TB) *Condemned {
	t.Helper()
	d, e := DigestOf([]byte("abc")), DigestOf(nil)
	c, err := NewCondemned(3, []CondemnedInventory{{d, 7}}, []CondemnedObject{{ObjectName{d, 2}, 4}, {ObjectName{e, 0}, 0}, {ObjectName{d, 0}, 5}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCondemned(t *testing.T) {
	c := sampleCondemned(t)
	d := DigestOf([]byte("abc"))
	for name, want := range map[ObjectName]bool{{d, 0}: true, {d, 1}: false, {d, 2}: true, {DigestOf(nil), 0}: true} {
		if c.HasObject(name) != want {
			t.Errorf("HasObject(%s) = %v", name, !want)
		}
	}
	if !c.HasInventory(d) || c.HasInventory(DigestOf(nil)) || c.Size() != 16 || c.Generation() != 3 {
		t.Errorf("%s", c.Bytes())
	}
	for name, make := range map[string]func() (*Condemned, error){
		"generation 0":            func() (*Condemned, error) { return NewCondemned(0, nil, nil) },
		"of the generation begun": func() (*Condemned, error) { return NewCondemned(3, nil, []CondemnedObject{{ObjectName{d, 3}, 1}}) },
		"an object twice": func() (*Condemned, error) {
			return NewCondemned(3, nil, []CondemnedObject{{ObjectName{d, 1}, 1}, {ObjectName{d, 1}, 1}})
		},
		"an inventory twice": func() (*Condemned, error) { return NewCondemned(3, []CondemnedInventory{{d, 1}, {d, 1}}, nil) },
		"a negative size":    func() (*Condemned, error) { return NewCondemned(3, []CondemnedInventory{{d, -1}}, nil) },
	} {
		if _, err := make(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseCondemned(f *testing.F) {
	fuzzText(f, [][]byte{sampleCondemned(f).Bytes(), []byte(condemnedHeader + "\ngeneration\t1\n")}, func(b []byte) (interface{ Bytes() []byte }, error) { return ParseCondemned(b) })
}

func TestCovers(t *testing.T) {
	m, err := NewManifest(sampleFiles()[1:])
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := NewInventory(sampleObjects())
	if err := whole.Covers(m); err != nil {
		t.Error(err)
	}
	for name, objects := range map[string][]Object{
		"nothing":          nil,
		"no identity":      sampleObjects()[:1],
		"another size":     {{DigestOf([]byte("abc")), Identity, ObjectName{Digest: DigestOf([]byte("abc"))}, 4}, sampleObjects()[2]},
		"one file missing": sampleObjects()[:2],
	} {
		inv, err := NewInventory(objects)
		if err != nil {
			t.Fatal(err)
		}
		if err := inv.Covers(m); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestObjectName(t *testing.T) {
	for text, want := range map[string]bool{
		someHex: true, someHex + ".1": true, someHex + ".4294967295": true,
		someHex + ".0": false, someHex + ".": false, someHex + ".01": false, someHex + ".+1": false, someHex + ".4294967296": false, someHex[1:]: false, "": false, someHex + ".1.1": false,
	} {
		n, err := ParseObjectName(text)
		if (err == nil) != want || err == nil && n.String() != text {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
}

func TestCoding(t *testing.T) {
	for _, c := range Codings() {
		if back, err := ParseCoding(c.String()); err != nil || back != c {
			t.Errorf("%s: %v", c, err)
		}
	}
	for _, bad := range []string{"", "BR", "x-gzip", "deflate", "coding(9)"} {
		if _, err := ParseCoding(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// fuzzText checks that a parser never panics and accepts canonical text only.
func fuzzText(f *testing.F, seeds [][]byte, parse func([]byte) (interface{ Bytes() []byte }, error)) {
	for _, s := range seeds {
		f.Add(s)
		f.Add(s[:len(s)/2])
		f.Add(append(bytes.Clone(s), s...))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := parse(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("another kind of error: %v", err)
			}
			return
		}
		if !bytes.Equal(v.Bytes(), text) {
			t.Errorf("not canonical: %q became %q", text, v.Bytes())
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	m, err := NewManifest(sampleFiles())
	if err != nil {
		f.Fatal(err)
	}
	fuzzText(f, [][]byte{m.Bytes(), []byte(manifestHeader + "\n")}, func(b []byte) (interface{ Bytes() []byte }, error) { return ParseManifest(b) })
}

func FuzzParseInventory(f *testing.F) {
	inv, err := NewInventory(sampleObjects())
	if err != nil {
		f.Fatal(err)
	}
	fuzzText(f, [][]byte{inv.Bytes(), []byte(inventoryHeader + "\n")}, func(b []byte) (interface{ Bytes() []byte }, error) { return ParseInventory(b) })
}

// FuzzParsers holds the one-line parsers to "the inverse of String".
func FuzzParsers(f *testing.F) {
	for _, s := range []string{someHex, someHex + ".7", "main", "1.2", "/a/b", "h.example/x", "br", "null", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same := func(kind, back string, err error) {
			if err == nil && back != s {
				t.Errorf("%s %q came back as %q", kind, s, back)
			}
		}
		d, err := ParseDigest(s)
		same("digest", d.String(), err)
		n, err := ParseObjectName(s)
		same("object name", n.String(), err)
		c, err := ParseCoding(s)
		same("coding", c.String(), err)
		id, err := ParseReleaseID(s)
		same("release ID", id.String(), err)
		if m, err := ParseMount(s); err == nil {
			if again, err := ParseMount(m.String()); err != nil || again != m {
				t.Errorf("mount %q: %q, %v", s, m, err)
			}
		}
		var settings Settings
		for _, item := range settings.List() {
			_ = settings.Set(item.Key, s) // must not panic
		}
	})
}
