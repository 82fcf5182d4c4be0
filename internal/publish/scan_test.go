package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

// write makes a build of the given files below a new directory.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for p, text := range files {
		put(t, dir, p, text)
	}
	return dir
}

func put(t testing.TB, dir, p, text string) {
	t.Helper()
	full := filepath.Join(dir, filepath.FromSlash(p))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func site() map[string]string {
	return map[string]string{
		"index.html":                `<script type="module" src="/assets/index-CpM3riV6.js"></script><link rel=stylesheet href="./assets/index-8f14e45f.css">`,
		"assets/index-CpM3riV6.js":  `import{a}from"./dep-Xk3jP9qL.js";import("./lazy-Zt8R4w7N.js")`,
		"assets/dep-Xk3jP9qL.js":    `export const a=1`,
		"assets/lazy-Zt8R4w7N.js":   `export default 2`,
		"assets/index-8f14e45f.css": `body{background:url("../logo.svg")}`,
		"logo.svg":                  `<svg xmlns="http://www.w3.org/2000/svg"><use href="#a"/></svg>`,
	}
}

func mustScan(t testing.TB, dir string, o ScanOptions) *Build {
	t.Helper()
	b, err := Scan(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScanManifest(t *testing.T) {
	b := mustScan(t, write(t, site()), ScanOptions{Strict: true})
	var got []string
	for _, f := range b.Manifest.Files() {
		got = append(got, fmt.Sprint(f.Path, " ", f.Size, " ", f.MediaType, " ", f.Logical, " ", f.Relative))
		if want := holdfast.DigestOf([]byte(site()[f.Path])); f.Digest != want {
			t.Errorf("%s has the digest %s, want %s", f.Path, f.Digest, want)
		}
	}
	want := []string{
		"assets/dep-Xk3jP9qL.js 16 text/javascript; charset=utf-8 assets/dep-*.js false",
		"assets/index-8f14e45f.css 35 text/css; charset=utf-8 assets/index-*.css true",
		"assets/index-CpM3riV6.js 61 text/javascript; charset=utf-8 assets/index-*.js true",
		"assets/lazy-Zt8R4w7N.js 16 text/javascript; charset=utf-8 assets/lazy-*.js false",
		"index.html 119 text/html; charset=utf-8 index.html true",
		"logo.svg 62 image/svg+xml logo.svg false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again := mustScan(t, write(t, site()), ScanOptions{})
	if again.Manifest.Digest() != b.Manifest.Digest() {
		t.Error("the same build in another directory has another identity")
	}
}

// Every wrong input gives one error of the right kind whose text names the culprit and
// the fix.
func TestScanRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		o     ScanOptions
		kind  error
		says  []string
	}{
		{"no files", func(t *testing.T, dir string) { removeAll(t, dir) }, ScanOptions{}, holdfast.ErrInvalid, []string{"no files", "has the build run"}},
		{"dotfiles only", func(t *testing.T, dir string) { removeAll(t, dir); put(t, dir, ".env", "x") }, ScanOptions{}, holdfast.ErrInvalid, []string{"no files"}},
		{"symlink out of the tree", link("/etc/passwd", "evil.txt"), ScanOptions{}, holdfast.ErrInvalid, []string{"evil.txt", `"/etc/passwd"`, "outside", "remove the link"}},
		{"relative symlink out of the tree", link("../../etc", "assets/evil"), ScanOptions{}, holdfast.ErrInvalid, []string{"assets/evil", "../../etc", "outside"}},
		{"dangling symlink", link("nothing.js", "a.js"), ScanOptions{}, holdfast.ErrInvalid, []string{"a.js", "nothing.js", "does not exist"}},
		{"symlink to itself", link("a.js", "a.js"), ScanOptions{}, holdfast.ErrInvalid, []string{"a.js", "circle"}},
		{"symlink to a directory above", link("..", "assets/up"), ScanOptions{}, holdfast.ErrInvalid, []string{"assets/up", "leads back"}},
		{"named pipe", func(t *testing.T, dir string) { mkfifo(t, filepath.Join(dir, "pipe")) }, ScanOptions{}, holdfast.ErrInvalid, []string{"pipe", "named pipe", "remove"}},
		{"socket", listen, ScanOptions{}, holdfast.ErrInvalid, []string{"socket.s", "is a socket"}},
		{"reserved name", func(t *testing.T, dir string) { put(t, dir, "@v1/a.js", "x") }, ScanOptions{}, holdfast.ErrInvalid, []string{"@v1", "reserved", "rename"}},
		{"backslash", func(t *testing.T, dir string) { put(t, dir, `a\b.js`, "x") }, ScanOptions{}, holdfast.ErrInvalid, []string{"rename"}},
		{"control character", func(t *testing.T, dir string) { put(t, dir, "a\nb.js", "x") }, ScanOptions{}, holdfast.ErrInvalid, []string{"rename"}},
		{"not UTF-8", func(t *testing.T, dir string) { put(t, dir, "a\xff.js", "x") }, ScanOptions{}, holdfast.ErrInvalid, []string{"not UTF-8"}},
		{"too many files", nothing, ScanOptions{MaxFiles: 5}, holdfast.ErrInvalid, []string{"more than 5 files", "limit"}},
		{"too many bytes", sparse(6 << 30), ScanOptions{}, holdfast.ErrInvalid, []string{fmt.Sprint(int64(DefaultMaxBytes)), "bytes", "limit"}},
		{"path too long", deep, ScanOptions{}, holdfast.ErrInvalid, []string{"longer than 1024"}},
		{"missing reference when strict", func(t *testing.T, dir string) { put(t, dir, "a.js", `import"./b.js"`) }, ScanOptions{Strict: true}, holdfast.ErrInvalid, []string{"a.js", "./b.js", "b.js"}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, site())
			c.spoil(t, dir)
			_, err := Scan(t.Context(), dir, c.o)
			checkError(t, err, c.kind, c.says)
		})
	}
}

func checkError(t *testing.T, err, kind error, says []string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

func TestScanRefusesWhatIsNoDirectory(t *testing.T) {
	dir := write(t, map[string]string{"file": "x"})
	_, err := Scan(t.Context(), filepath.Join(dir, "dist"), ScanOptions{})
	checkError(t, err, holdfast.ErrNotFound, []string{"dist", "no directory"})
	_, err = Scan(t.Context(), filepath.Join(dir, "file"), ScanOptions{})
	checkError(t, err, holdfast.ErrInvalid, []string{"file", "is a file"})
}

func TestScanNamesUnreadableFile(t *testing.T) {
	dir := write(t, site())
	tr, files, err := Dir(dir).walk(t.Context(), ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	// The tests may run as a user without permission limits: a walked file vanishes
	// instead before it is read.
	if _, err := tr.read(entry{path: "gone.js"}); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "gone.js")) {
		t.Errorf("%v", err)
	}
	if os.Geteuid() != 0 {
		if err := os.Chmod(filepath.Join(dir, "logo.svg"), 0); err != nil {
			t.Fatal(err)
		}
		_, err := Scan(t.Context(), dir, ScanOptions{})
		checkError(t, err, os.ErrPermission, []string{"logo.svg", "permission"})
	}
}

func TestScanNoticesChange(t *testing.T) {
	dir := write(t, site())
	tr, files, err := Dir(dir).walk(t.Context(), ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	put(t, dir, "logo.svg", strings.Repeat("x", 63))
	_, err = tr.readAll(t.Context())
	checkError(t, err, holdfast.ErrConflict, []string{"logo.svg", "changed", "publish again"})
}

func TestScanFollowsSymlinksInside(t *testing.T) {
	dir := write(t, site())
	link("../logo.svg", "assets/logo.svg")(t, dir)
	link("assets", "static")(t, dir)
	b := mustScan(t, dir, ScanOptions{Strict: true})
	for _, p := range []string{"assets/logo.svg", "static/logo.svg", "static/dep-Xk3jP9qL.js"} {
		if _, ok := b.Manifest.Lookup(p); !ok {
			t.Errorf("%s is missing", p)
		}
	}
}

func TestScanLeavesOut(t *testing.T) {
	dir := write(t, site())
	for p, text := range map[string]string{
		".env": "SECRET", ".git/config": "x", "assets/.DS_Store": "x", ".well-known/security.txt": "Contact: x",
		"assets/dep-Xk3jP9qL.js.map": "{}", "assets/dep-Xk3jP9qL.js.map.gz": "x", "assets/dep-Xk3jP9qL.js.br": "x",
		"assets/dep-Xk3jP9qL.js.gz": "x", "logo.svg.zst": "x", "archive.tar.gz": "x", "orphan.br": "x",
	} {
		put(t, dir, p, text)
	}
	always := []LeftOut{
		{".env", ReasonDotfile},
		{".git/", ReasonDotfile},
		{"assets/.DS_Store", ReasonDotfile},
	}
	maps := []LeftOut{{"assets/dep-Xk3jP9qL.js.map", ReasonSourceMap}, {"assets/dep-Xk3jP9qL.js.map.gz", ReasonSourceMap}}
	for policy, want := range map[holdfast.SourceMaps][]LeftOut{
		"": always, holdfast.SourceMapsPublic: always, holdfast.SourceMapsDrop: join(always, maps),
	} {
		b := mustScan(t, dir, ScanOptions{SourceMaps: policy})
		if diff := cmp.Diff(want, b.LeftOut); diff != "" {
			t.Errorf("%q: %s", policy, diff)
		}
		for _, p := range []string{".well-known/security.txt", "archive.tar.gz", "orphan.br", "assets/dep-Xk3jP9qL.js.br", "assets/dep-Xk3jP9qL.js.gz", "logo.svg.zst"} {
			if _, ok := b.Manifest.Lookup(p); !ok {
				t.Errorf("%s is missing", p)
			}
		}
		if _, ok := b.Manifest.Lookup("assets/dep-Xk3jP9qL.js.map"); ok == (policy == holdfast.SourceMapsDrop) {
			t.Errorf("%q: source map included: %v", policy, ok)
		}
	}
}

func join(lists ...[]LeftOut) (all []LeftOut) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Shared packages of native federation are named by their version, not by their bytes.
func TestScanReadsFederation(t *testing.T) {
	files := map[string]string{
		"index.html": "<!doctype html>", "_angular_core.8f14e45f.js": "1", "chunk-2QRV3YKH.js": "2",
		"remoteEntry.json": `{"name":"a","shared":[{"packageName":"@angular/core","outFileName":"_angular_core.8f14e45f.js"}],"exposes":[]}`,
	}
	b := mustScan(t, write(t, files), ScanOptions{})
	for p, want := range map[string]bool{"_angular_core.8f14e45f.js": false, "chunk-2QRV3YKH.js": true} {
		if f, ok := b.Manifest.Lookup(p); !ok || f.Fingerprinted() != want {
			t.Errorf("%s: fingerprinted %v", p, !want)
		}
	}
}

func TestScanReadsBundlerManifests(t *testing.T) {
	for name, c := range map[string]struct{ file, text string }{
		"vite":        {".vite/manifest.json", `{"src/Foo.vue":{"file":"a/Foo-B7O5-Ft7.js","src":"src/Foo.vue"},"src/cafe-8f14e45f.png":{"file":"a/cafe-8f14e45f.png","src":"src/cafe-8f14e45f.png"},"_x":{"file":"a/gone.js"}}`},
		"vite 2 to 4": {"manifest.json", `{"Foo.vue":{"file":"a/Foo-B7O5-Ft7.js","src":"Foo.vue","css":["a/gone.js"]},"cafe-8f14e45f.png":{"file":"a/cafe-8f14e45f.png","src":"cafe-8f14e45f.png"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"a/Foo-B7O5-Ft7.js": "1", "a/cafe-8f14e45f.png": "2", c.file: c.text})
			b := mustScan(t, dir, ScanOptions{})
			for p, want := range map[string]string{"a/Foo-B7O5-Ft7.js": "a/Foo-*.js", "a/cafe-8f14e45f.png": "a/cafe-8f14e45f.png"} {
				if f, ok := b.Manifest.Lookup(p); !ok || f.Logical != want {
					t.Errorf("%s: %+v", p, f)
				}
			}
			want := []MissingReference{{c.file, "a/gone.js", "a/gone.js", false}}
			if diff := cmp.Diff(want, b.Missing); diff != "" {
				t.Error(diff)
			}
		})
	}
	dir := write(t, map[string]string{
		"static/js/main.B7O5-Ft7.js": "1", "manifest.json": `{"name":"App","icons":[{"src":"x.png"}],"start_url":"."}`,
		"asset-manifest.json": `{"files":{"main.js":"/static/js/main.B7O5-Ft7.js","index.html":"/index.html"},"entrypoints":["static/js/main.B7O5-Ft7.js"]}`,
	})
	b := mustScan(t, dir, ScanOptions{})
	if f, _ := b.Manifest.Lookup("static/js/main.B7O5-Ft7.js"); f == nil || !f.Fingerprinted() {
		t.Errorf("%+v", f)
	}
	if diff := cmp.Diff([]MissingReference{{"asset-manifest.json", "/index.html", "index.html", false}}, b.Missing); diff != "" {
		t.Error(diff)
	}
}

func TestScanStopsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scan(ctx, write(t, site()), ScanOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestScanTellsCaseApart: URLs do, so that is no reason to refuse a build.
func TestScanTellsCaseApart(t *testing.T) {
	b := mustScan(t, write(t, map[string]string{"index.html": "<!doctype html>", "struct.Command.html": "1", "struct.command.html": "2", "É.js": "3", "é.js": "4"}), ScanOptions{})
	var found []string
	for _, f := range b.Inspect(&Subject{}) {
		if f.Code == FoundCase {
			found = append(found, f.Message)
		}
	}
	want := []string{"names differ only in the case of letters: struct.Command.html and struct.command.html, É.js and é.js"}
	if diff := cmp.Diff(want, found); diff != "" || len(b.Manifest.Files()) != 5 {
		t.Errorf("%d files, %s", len(b.Manifest.Files()), diff)
	}
}

func TestMediaType(t *testing.T) {
	for p, want := range map[string]string{
		"a.js": "text/javascript; charset=utf-8", "a.MJS": "text/javascript; charset=utf-8", "a.css": "text/css; charset=utf-8",
		"a.html": "text/html; charset=utf-8", "a.js.map": "application/json", "a.wasm": "application/wasm", "a.svg": "image/svg+xml",
		"a.webmanifest": "application/manifest+json", "a.woff2": "font/woff2", "a.avif": "image/avif", "a.mp4": "video/mp4",
		"a.txt": "text/plain; charset=utf-8", "LICENSE": "text/plain; charset=utf-8", "a": "application/octet-stream",
		"Build/g.framework.js.br": "text/javascript; charset=utf-8", "Build/g.wasm.gz": "application/wasm", "Build/g.data.br": "application/octet-stream",
		"data.csv.gz": "application/gzip", "sitemap.xml.gz": "application/gzip", "orphan.br": "application/x-brotli", "a.svgz": "image/svg+xml", "a.js.zst": "application/zstd",
		"apple-app-site-association": "application/json", ".well-known/apple-app-site-association": "application/json", ".well-known/matrix/client": "application/json",
		".well-known/openid-configuration": "application/json", ".well-known/webfinger": "application/jrd+json", ".well-known/security.txt": "text/plain; charset=utf-8",
		"a.pkpass": "application/vnd.apple.pkpass", "a.mobileconfig": "application/x-apple-aspen-config", "a.usdz": "model/vnd.usdz+zip", "a.apk": "application/vnd.android.package-archive",
		"a.bin": "application/octet-stream", "a.tar.gz": "application/gzip", "x.js/y": "application/octet-stream", "a.opus": "audio/ogg",
	} {
		if got := mediaType(p, false); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
}

func nothing(*testing.T, string) {}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	children, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		if err := os.RemoveAll(filepath.Join(dir, c.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func link(target, p string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
}

func mkfifo(t *testing.T, p string) {
	t.Helper()
	if err := syscall.Mkfifo(p, 0o600); err != nil {
		t.Fatal(err)
	}
}

// listen makes a socket by a relative name: paths of temporary directories can be longer
// than a socket's address may be.
func listen(t *testing.T, dir string) {
	t.Helper()
	t.Chdir(dir)
	l, err := net.Listen("unix", "socket.s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func sparse(size int64) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		put(t, dir, "huge.bin", "")
		if err := os.Truncate(filepath.Join(dir, "huge.bin"), size); err != nil {
			t.Fatal(err)
		}
	}
}

func deep(t *testing.T, dir string) {
	t.Helper()
	put(t, dir, strings.Repeat(strings.Repeat("d", 200)+"/", 5)+strings.Repeat("f", 30), "x")
}
