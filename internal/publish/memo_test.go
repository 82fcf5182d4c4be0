package publish

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

// old makes a build and lets time pass, so that nothing about it is new. The clock of a
// file system cannot be set, so the scan's own begins later.
func old(t *testing.T, files map[string]string) (dir string, scan func(ScanOptions) *Build) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("builds are always read here")
	}
	dir = write(t, files)
	return dir, func(o ScanOptions) *Build {
		t.Helper()
		b, err := Dir(dir).scan(t.Context(), o, time.Now().Add(settling+time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func builtWithSiblings() map[string]string {
	files := site()
	files[".vite/manifest.json"] = `{"src/main.ts":{"file":"assets/index-CpM3riV6.js","src":"src/main.ts","name":"index"}}`
	files["logo.svg.gz"] = "not really"
	files["copy.svg"] = files["logo.svg"]
	files["assets/a.js.map"] = "{}"
	return files
}

// TestMemo: an unchanged build is not read again, and the result is the same as if it
// were.
func TestMemo(t *testing.T) {
	_, scan := old(t, builtWithSiblings())
	read := scan(ScanOptions{})
	if read.Unread || read.Memo == nil {
		t.Fatalf("unread %v, memo %v", read.Unread, read.Memo)
	}
	memo, err := ParseMemo(read.Memo.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	again := scan(ScanOptions{Memo: memo})
	if !again.Unread {
		t.Fatal("the build was read again")
	}
	if d := cmp.Diff(string(read.Manifest.Bytes()), string(again.Manifest.Bytes())); d != "" {
		t.Errorf("manifest (-read +unread):\n%s", d)
	}
	if d := cmp.Diff(read.sources, again.sources, cmp.AllowUnexported(source{}, sibling{})); d != "" {
		t.Errorf("sources (-read +unread):\n%s", d)
	}
	if d := cmp.Diff(read.LeftOut, again.LeftOut); d != "" || again.Encoded != read.Encoded {
		t.Errorf("left out (-read +unread):\n%s", d)
	}
	if string(again.Memo.Bytes()) != string(memo.Bytes()) {
		t.Error("the memo is another one")
	}
	if scan(ScanOptions{Memo: memo, Strict: true}).Unread {
		t.Error("references were not looked for")
	}
}

// TestMemoOfChanged: after any change a build is read again.
func TestMemoOfChanged(t *testing.T) {
	const js = "assets/dep-Xk3jP9qL.js"
	at := func(dir, p string) string { return filepath.Join(dir, filepath.FromSlash(p)) }
	for name, change := range map[string]func(t *testing.T, dir string) error{
		"other bytes of the same size, with the old time": func(t *testing.T, dir string) error {
			info, err := os.Stat(at(dir, js))
			if err != nil {
				return err
			}
			put(t, dir, js, "export const a=2")
			return os.Chtimes(at(dir, js), info.ModTime(), info.ModTime())
		},
		"another file in its place, with the old time": func(t *testing.T, dir string) error {
			info, err := os.Stat(at(dir, js))
			if err != nil {
				return err
			}
			put(t, dir, "new", "export const a=2")
			if err := os.Chtimes(at(dir, "new"), info.ModTime(), info.ModTime()); err != nil {
				return err
			}
			return os.Rename(at(dir, "new"), at(dir, js))
		},
		"files change names": func(_ *testing.T, dir string) error {
			a, b, c := at(dir, "logo.svg"), at(dir, "copy.svg"), at(dir, "other")
			for _, move := range [][2]string{{a, c}, {b, a}, {c, b}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					return err
				}
			}
			return nil
		},
		"a file more":   func(t *testing.T, dir string) error { put(t, dir, "more.txt", "x"); return nil },
		"a file less":   func(_ *testing.T, dir string) error { return os.Remove(at(dir, "copy.svg")) },
		"what it lists": func(t *testing.T, dir string) error { put(t, dir, ".vite/manifest.json", "{}"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir, scan := old(t, builtWithSiblings())
			memo := scan(ScanOptions{}).Memo
			time.Sleep(20 * time.Millisecond) // a tick of the file system's clock, which nothing tells
			if err := change(t, dir); err != nil {
				t.Fatal(err)
			}
			b := scan(ScanOptions{Memo: memo})
			fresh := mustScan(t, dir, ScanOptions{})
			if b.Unread || b.Manifest.Digest() != fresh.Manifest.Digest() {
				t.Errorf("unread: %v; manifest %s, want %s", b.Unread, b.Manifest.Digest(), fresh.Manifest.Digest())
			}
		})
	}
}

// TestMemoOfFresh: files written a moment ago may change without a trace.
func TestMemoOfFresh(t *testing.T) {
	if b := mustScan(t, write(t, site()), ScanOptions{}); b.Memo != nil {
		t.Error("a memo of files that were written just now")
	}
	if b, err := FS(os.DirFS(write(t, site()))).Scan(t.Context(), ScanOptions{}); err != nil || b.Memo != nil {
		t.Errorf("%v, a memo of files that were written just now", err)
	}
}

// TestMemoOfImage: of two images of a file system that were made reproducibly, files
// of the same name and size may differ in nothing but their bytes.
func TestMemoOfImage(t *testing.T) {
	chosen := time.Unix(1700000000, 0) // SOURCE_DATE_EPOCH
	image := &tree{fsys: fstest.MapFS{}, entries: []entry{{"index.html", 55, chosen, change{true, chosen, 1792, 3}}}}
	if _, ok := image.proof(time.Now()); ok {
		t.Error("a build in an image counts as unchanged whatever is in it")
	}
	image.entries[0].change.at = chosen.Add(time.Nanosecond)
	if _, ok := image.proof(time.Now()); !ok {
		t.Error("times of a kernel's clock prove nothing")
	}
}

// TestMemoOfAnother: a memo that is not of this very list of files is not used, be
// its proof as good as it likes.
func TestMemoOfAnother(t *testing.T) {
	_, scan := old(t, site())
	memo := scan(ScanOptions{}).Memo
	files := slices.Clone(memo.manifest.Files())
	files[0].Size++
	other, err := holdfast.NewManifest(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*holdfast.Manifest{other, mustManifest(t, files[1:])} {
		if scan(ScanOptions{Memo: &Memo{memo.proof, m}}).Unread {
			t.Error("it was used")
		}
	}
}

func mustManifest(t *testing.T, files []holdfast.File) *holdfast.Manifest {
	t.Helper()
	m, err := holdfast.NewManifest(files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParseMemo(t *testing.T) {
	_, scan := old(t, site())
	text := string(scan(ScanOptions{}).Memo.Bytes())
	lines := strings.SplitN(text, "\n", 4)
	for name, bad := range map[string]string{
		"nothing":          "",
		"cut":              text[:len(text)-1],
		"three lines":      strings.Join(lines[:3], "\n"),
		"another version":  strings.Replace(text, memoHeader, "holdfast build memo 2", 1),
		"no proof":         strings.Replace(text, lines[1], "x", 1),
		"another digest":   strings.Replace(text, lines[2], lines[1], 1),
		"another manifest": strings.Replace(text, "logo.svg", "Logo.svg", 1),
		"not even one":     strings.Join(lines[:2], "\n") + "\n" + holdfast.DigestOf([]byte("x")).String() + "\nx",
	} {
		if m, err := ParseMemo([]byte(bad)); err == nil {
			t.Errorf("%s: %v", name, m)
		}
	}
}

func FuzzParseMemo(f *testing.F) {
	m, err := holdfast.NewManifest([]holdfast.File{{Path: "a", Logical: "a", MediaType: "text/plain", Size: 1}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&Memo{holdfast.DigestOf(nil), m}).Bytes())
	f.Add([]byte(memoHeader + "\n\n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if m, err := ParseMemo(text); err == nil && string(m.Bytes()) != string(text) {
			t.Errorf("%q is read as %q", text, m.Bytes())
		}
	})
}
