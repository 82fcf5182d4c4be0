package publish

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

func mapFS(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for p, text := range files {
		fsys[p] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// A build is the same build in any location.
func TestScanOfFileSystem(t *testing.T) {
	files := site()
	want := mustScan(t, write(t, files), ScanOptions{})
	for name, p := range map[string]Place{"in memory": FS(mapFS(files)), "of a directory": FS(os.DirFS(write(t, files)))} {
		got, err := p.Scan(t.Context(), ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Manifest.Digest() != want.Manifest.Digest() {
			t.Errorf("file system %s: %s, want %s", name, got.Manifest.Bytes(), want.Manifest.Bytes())
		}
	}
}

func TestScanOfFileSystemRefusesSymlinks(t *testing.T) {
	dir := write(t, site())
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out.txt")); err != nil {
		t.Fatal(err)
	}
	_, err := FS(os.DirFS(dir)).Scan(t.Context(), ScanOptions{})
	checkError(t, err, holdfast.ErrInvalid, []string{"out.txt", "symlink"})
	_, err = FS(mapFS(nil)).Scan(t.Context(), ScanOptions{})
	checkError(t, err, holdfast.ErrInvalid, []string{"the file system holds no files"})
}

// Load returns the bytes that the inventory names, in every coding that exists and is
// correct, and in no other without an encoder.
func TestLoad(t *testing.T) {
	text := holdtest.Script("load")
	files := map[string]string{
		"a.js": text, "a.js.gz": mustEncode(t, holdfast.Gzip, text), "a.js.br": mustEncode(t, holdfast.Brotli, text+"x"), "b.txt": "short",
	}
	encoder, err := coding.NewEncoder(coding.Fast)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	for _, tt := range []struct {
		name    string
		encoder Encoder
		want    map[string]string // of a.js: the file of each coding
	}{
		{"siblings only", nil, map[string]string{"identity": "a.js", "gzip": "a.js.gz"}},
		{"encoder", encoder, map[string]string{"identity": "a.js", "gzip": "a.js.gz", "br": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := FS(mapFS(files)).Scan(t.Context(), ScanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			var once sync.Mutex
			inv, err := b.Load(t.Context(), LoadOptions{Encoder: tt.encoder, Keep: func(o holdfast.Object, path string, data []byte) {
				if !once.TryLock() {
					t.Error("Keep runs twice at a time")
				}
				defer once.Unlock()
				if holdfast.DigestOf(data) != o.Name.Digest || int64(len(data)) != o.Size {
					t.Errorf("object %v has other bytes than its name", o)
				}
				if f, _ := b.Manifest.Lookup("a.js"); f.Digest == o.Digest {
					got[o.Coding.String()] = path
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if err := inv.Covers(b.Manifest); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLoadNoticesChange(t *testing.T) {
	dir := write(t, site())
	b := mustScan(t, dir, ScanOptions{})
	old, err := os.ReadFile(filepath.Join(dir, "logo.svg"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "logo.svg", strings.Repeat("x", len(old)))
	_, err = b.Load(t.Context(), LoadOptions{Keep: func(holdfast.Object, string, []byte) {}})
	checkError(t, err, holdfast.ErrConflict, []string{"logo.svg", "changed"})
}

func TestOutline(t *testing.T) {
	files := site()
	dir := write(t, files)
	want := mustScan(t, dir, ScanOptions{})
	seen, err := Dir(dir).Outline(t.Context(), ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := seen.Inventory.Covers(seen.Manifest); err != nil {
		t.Error(err)
	}
	for i, f := range want.Manifest.Files() {
		got := seen.Manifest.Files()[i]
		if got.Path != f.Path || got.Size != f.Size || got.MediaType != f.MediaType || got.Logical != f.Logical {
			t.Errorf("outline has %+v, want %+v", got, f)
		}
		if seen.Files[got.Digest].Path != f.Path {
			t.Errorf("the digest of %s stands for %s", f.Path, seen.Files[got.Digest].Path)
		}
	}
	empty, err := Dir(t.TempDir()).Outline(t.Context(), ScanOptions{})
	if err != nil || len(empty.Manifest.Files()) != 0 {
		t.Errorf("empty directory: %v, %v", empty, err)
	}
	_, err = Dir(filepath.Join(dir, "nope")).Outline(t.Context(), ScanOptions{})
	checkError(t, err, holdfast.ErrNotFound, []string{"nope"})
}
