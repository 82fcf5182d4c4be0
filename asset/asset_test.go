package asset_test

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/compress"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(holdtest.Waiting(m, 6), goleak.Cleanup(func(code int) {
		http.DefaultClient.CloseIdleConnections() // of the examples
		os.Exit(code)
	}))
}

func mapFS(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for p, text := range files {
		fsys[p] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func open(t testing.TB, fsys fs.FS, o asset.Options) *asset.Assets {
	t.Helper()
	a, err := asset.New(fsys, o)
	return opened(t, a, err)
}

func opened(t testing.TB, a *asset.Assets, err error) *asset.Assets {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// ask sends a request with pairs of header fields to a handler.
func ask(h http.Handler, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const longScript = "export const list = [" + "'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'," +
	"'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'];"

// TestForms: every URL that a helper returns leads to the file, in every form and under
// every mount, and the answer says how long it may be cached.
func TestForms(t *testing.T) {
	files := map[string]string{"index.html": "<!doctype html>", "app.js": longScript, "sp ace&.txt": "space", "rel.js": `import "./app.js"`}
	for _, mount := range []string{"/", "/static", "/a b", "cdn.example.com/", "cdn.example.com/x"} {
		for _, form := range []asset.Form{asset.Pinned, asset.Full, asset.Content, asset.Plain, ""} {
			a := open(t, mapFS(files), asset.Options{Mount: mount, Form: form})
			for p, text := range files {
				url, err := a.URL(p)
				if err != nil {
					t.Fatal(err)
				}
				host := "http://example.com"
				if strings.HasPrefix(url, "//") {
					host = "http:"
				}
				w := ask(a, host+url)
				immutable := strings.Contains(w.Header().Get("Cache-Control"), "immutable")
				if w.Code != 200 || w.Body.String() != text || p != "index.html" && immutable != (form != asset.Plain) {
					t.Errorf("mount %s, form %s: %s of %s: %d %q %v", mount, form, url, p, w.Code, w.Body, w.Header())
				}
			}
		}
	}
}

// TestSameBuildSameAnswers: two processes with one build answer alike, byte for
// byte in their headers.
func TestSameBuildSameAnswers(t *testing.T) {
	files := map[string]string{"index.html": "<!doctype html>", "app.js": longScript}
	a, b := open(t, mapFS(files), asset.Options{}), open(t, mapFS(files), asset.Options{})
	url, err := a.URL("app.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/", "/app.js", url} {
		first, second := ask(a, target), ask(b, target)
		if first.Code != 200 || !cmp.Equal(first.Header(), second.Header()) || first.Body.String() != second.Body.String() {
			t.Errorf("%s: %v and %v", target, first, second)
		}
		if first.Header().Get("Last-Modified") != "" {
			t.Errorf("%s: Last-Modified of a build that has no time", target)
		}
	}
	files["app.js"] = "changed"
	if other, err := open(t, mapFS(files), asset.Options{}).URL("app.js"); err != nil || other == url {
		t.Errorf("another build has the same URL %s (%v)", other, err)
	}
}

func TestConditionsAndRanges(t *testing.T) {
	a := open(t, mapFS(map[string]string{"app.js": longScript}), asset.Options{})
	tag := ask(a, "/app.js").Header().Get("Etag")
	for _, tt := range []struct {
		fields []string
		status int
		body   string
	}{
		{[]string{"If-None-Match", tag}, 304, ""},
		{[]string{"If-None-Match", `"other"`}, 200, longScript},
		{[]string{"Range", "bytes=0-5"}, 206, "export"},
		{[]string{"Range", "bytes=0-5", "If-Range", tag}, 206, "export"},
		{[]string{"Range", "bytes=0-5", "If-Range", `"other"`}, 200, longScript},
		{[]string{"Range", "bytes=9999-"}, 416, "the range lies outside the file\n"},
		{[]string{"Range", "lines=0-1"}, 200, longScript},
	} {
		if w := ask(a, "/app.js", tt.fields...); w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%v: %d %q, want %d %q", tt.fields, w.Code, w.Body, tt.status, tt.body)
		}
	}
}

// TestCodings: encoded files beside the originals are used if they are correct; others
// are made only on request.
func TestCodings(t *testing.T) {
	encoder, err := compress.New(compress.Best)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	encode := func(c holdfast.Coding, text string) string {
		encoded, err := encoder.Encode(c, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	gz := encode(holdfast.Gzip, longScript)
	files := map[string]string{"app.js": longScript, "app.js.gz": gz, "app.js.br": encode(holdfast.Brotli, longScript+" ")}
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	for _, tt := range []struct {
		name, accept string
		encoder      asset.Encoder
		coding       string
	}{
		{"beside", "gzip, br, zstd", nil, "gzip"},
		{"untrue", "br", nil, ""},
		{"refused", "identity", nil, ""},
		{"made", "br", encoder, "br"},
		{"found before made", "gzip", encoder, "gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			logged.Reset()
			a := open(t, mapFS(files), asset.Options{Encoder: tt.encoder, Logger: log})
			w := ask(a, "/app.js", "Accept-Encoding", tt.accept)
			if w.Code != 200 || w.Header().Get("Content-Encoding") != tt.coding || w.Header().Get("Vary") == "" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			if !strings.Contains(logged.String(), "app.js.br") {
				t.Errorf("the untrue file is not named: %s", &logged)
			}
			body := w.Body.Bytes()
			if tt.coding != "" {
				c, err := holdfast.ParseCoding(tt.coding)
				if err != nil {
					t.Fatal(err)
				}
				if body, err = coding.Decode(c, body, int64(len(longScript))); err != nil {
					t.Fatal(err)
				}
			}
			if string(body) != longScript {
				t.Errorf("%q", body)
			}
		})
	}
}

// TestBeyondMemory: files not in memory are served as well, and bytes that changed on
// disk are never served as the original ones.
func TestBeyondMemory(t *testing.T) {
	dir := t.TempDir()
	big := strings.Repeat("0123456789abcdef", 16<<10)
	put(t, dir, "big.bin", big)
	put(t, dir, "app.js", longScript)
	onDisk, err := asset.Open(dir, asset.Options{Memory: 64 << 10})
	onDisk = opened(t, onDisk, err)
	inProgram := open(t, mapFS(map[string]string{"big.bin": big, "app.js": longScript}), asset.Options{Memory: 64 << 10})
	for name, a := range map[string]*asset.Assets{"directory": onDisk, "program": inProgram} {
		for target, want := range map[string]string{"/big.bin": big, "/app.js": longScript} {
			if w := ask(a, target); w.Code != 200 || w.Body.String() != want {
				t.Errorf("%s: %s: %d, %d bytes", name, target, w.Code, w.Body.Len())
			}
		}
		if w := ask(a, "/big.bin", "Range", "bytes=16-31"); w.Code != 206 || w.Body.String() != "0123456789abcdef" {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
	fresh, err := asset.Open(dir, asset.Options{Memory: 64 << 10})
	fresh = opened(t, fresh, err)
	put(t, dir, "big.bin", strings.Repeat("x", len(big)))
	if w := ask(fresh, "/big.bin"); w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("changed bytes: %d %v", w.Code, w.Header())
	}
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	good := mapFS(map[string]string{"app.js": "1"})
	for _, tt := range []struct {
		name string
		fsys fs.FS
		o    asset.Options
		says string
	}{
		{"no file system", nil, asset.Options{}, "no file system"},
		{"empty", mapFS(nil), asset.Options{}, "holds no files"},
		{"reserved name", mapFS(map[string]string{"@v1/a.js": "1"}), asset.Options{}, "reserved"},
		{"app", good, asset.Options{App: "null"}, "null"},
		{"mount", good, asset.Options{Mount: "static"}, "mount"},
		{"form", good, asset.Options{Form: "short"}, "pinned, full, content or plain"},
		{"origin", good, asset.Options{Origin: "cdn.example.com"}, "https://cdn.example.com"},
		{"release", good, asset.Options{Release: "a/b"}, "release ID"},
		{"setting", good, asset.Options{Settings: map[string]string{"colour": "red"}}, "no setting"},
	} {
		a, err := asset.New(tt.fsys, tt.o)
		if err == nil {
			t.Errorf("%s: accepted (%v)", tt.name, a.Close())
		} else if !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "open assets: ") || !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%s: %v; want %q", tt.name, err, tt.says)
		}
	}
	_, err := asset.Open(filepath.Join(t.TempDir(), "nope"), asset.Options{})
	if !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("no directory: %v", err)
	}
}

func TestTags(t *testing.T) {
	files := map[string]string{
		"index.html": `<script type=module src=app.js></script><script src="~client.js"></script>`,
		"app.js":     "1", "style.css": "a{}", "logo.png": "png", "manifest.json": `{"src/a.ts":{"file":"app.js","css":["style.css"]}}`,
	}
	a := open(t, mapFS(files), asset.Options{Release: "v1"})
	index, err := a.Tags()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(index), "\n"); n != 1 || !strings.Contains(string(index), `data-release="v1"`) {
		t.Errorf("tags of the page: %s", index)
	}
	for _, tt := range []struct {
		entries []string
		want    string // in this order
	}{
		{[]string{"index.html", "app.js"}, "app.js ~client.js style.css"},
		{[]string{"src/a.ts"}, "style.css app.js"},
		{[]string{"/style.css", "style.css"}, "style.css"},
	} {
		html, err := a.Tags(tt.entries...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.SplitSeq(string(html), "\n") {
			for _, name := range []string{"app.js", "style.css", "~client.js"} {
				if strings.Contains(line, name) {
					got = append(got, name)
				}
			}
		}
		if diff := cmp.Diff(strings.Fields(tt.want), got); diff != "" {
			t.Errorf("%v: %s", tt.entries, diff)
		}
	}
	for entry, says := range map[string]string{"nope.js": "no file", "logo.png": "neither a page nor a script", "nope.html": "no file"} {
		if _, err := a.Tags(entry); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", entry, err)
		}
	}
}

// TestTemplates: the functions' results survive html/template unchanged, and a missing
// file stops the page.
func TestTemplates(t *testing.T) {
	a := open(t, mapFS(map[string]string{"a+b.js": "1", "app.js": "2"}), asset.Options{Release: "v1"})
	page := func(text string) (string, error) {
		var b strings.Builder
		err := template.Must(template.New("page").Funcs(a.Funcs()).Parse(text)).Execute(&b, nil)
		return b.String(), err
	}
	sri, err := a.Integrity("app.js")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`<script src="{{assetURL "a+b.js"}}"></script>`:  `<script src="/@v1/a&#43;b.js"></script>`,
		`<script>import({{assetURL "app.js"}})</script>`: `<script>import("/@v1/app.js")</script>`,
		`{{assetTags "app.js"}}`:                         `<script type="module" src="/@v1/app.js" integrity="` + sri + `" crossorigin="anonymous"></script>`,
		`{{len (assetIntegrity "app.js")}}`:              "51",
	} {
		if got, err := page(text); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", text, got, err, want)
		}
	}
	if got, err := page(`{{assetImportMap}}`); err != nil || !strings.HasPrefix(got, `<script type="importmap">{"imports":{"a+b.js":"/@v1/a+b.js"`) {
		t.Errorf("%s %v", got, err)
	}
	if _, err := page(`{{assetURL "nope.js"}}`); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestURLDoesNotAllocate(t *testing.T) {
	a := open(t, build(), asset.Options{})
	for _, path := range []string{"img/logo.svg", "/img/logo.svg", "assets/index-*.js"} {
		if n := testing.AllocsPerRun(100, func() {
			if url, err := a.URL(path); err != nil || url == "" {
				t.Error(err)
			}
			if proof, err := a.Integrity(path); err != nil || proof == "" {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	a := open(t, build(), asset.Options{})
	var tasks sync.WaitGroup
	for i := range 8 {
		tasks.Go(func() {
			for j := range 50 {
				if _, err := a.Tags(); err != nil {
					t.Error(err)
				}
				if _, err := a.Tags(fmt.Sprintf("assets/index-*.%s", []string{"js", "css"}[(i+j)%2])); err != nil {
					t.Error(err)
				}
				if w := ask(a, "/"); w.Code != 200 {
					t.Error(w.Code)
				}
			}
		})
	}
	tasks.Wait()
}

// TestDev: changes are visible at once, and answers are never a 304 and never cached.
func TestDev(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "index.html", `<script type="module" src="/app.js"></script>`)
	put(t, dir, "app.js", "first")
	onDisk, err := asset.Open(dir, asset.Options{Dev: true, SPA: true})
	for name, a := range map[string]*asset.Assets{
		"directory":   opened(t, onDisk, err),
		"file system": open(t, os.DirFS(dir), asset.Options{Dev: true, SPA: true}),
	} {
		t.Run(name, func(t *testing.T) {
			check := func(target, want string, fields ...string) {
				t.Helper()
				w := ask(a, target, fields...)
				if w.Body.String() != want || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Etag")+w.Header().Get("Last-Modified") != "" {
					t.Errorf("%s: %d %q %v; want %q", target, w.Code, w.Body, w.Header(), want)
				}
			}
			for _, text := range []string{"first", "secnd", "third, and longer"} {
				put(t, dir, "app.js", text)
				url, err := a.URL("app.js")
				if err != nil || url != "/app.js" {
					t.Errorf("URL %s %v", url, err)
				}
				check(url, text, "If-None-Match", "*", "If-Modified-Since", "Fri, 31 Dec 2100 00:00:00 GMT")
				check("/@dev/app.js", text)
				check("/app.js", text[1:3], "Range", "bytes=1-2")
			}
			put(t, dir, "new/page.js", "new")
			check("/new/page.js", "new")
			check("/deep/link", `<script type="module" src="/app.js"></script>`, "Sec-Fetch-Mode", "navigate")
			if err := os.RemoveAll(filepath.Join(dir, "new")); err != nil {
				t.Fatal(err)
			}
			check("/new/page.js", "no such file\n")
			html, err := a.Tags()
			if err != nil || html != `<script type="module" src="/app.js" crossorigin="anonymous"></script>` {
				t.Errorf("%s %v", html, err)
			}
			if proof, err := a.Integrity("app.js"); err != nil || proof != "" {
				t.Errorf("integrity of a file that may change: %q %v", proof, err)
			}
		})
	}
}

// TestDevSurvivesTheBuildTool: build tools delete the directory and make it again.
func TestDevSurvivesTheBuildTool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	put(t, dir, "app.js", "first")
	a, err := asset.Open(dir, asset.Options{Dev: true})
	a = opened(t, a, err)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if w := ask(a, "/app.js"); w.Code != 500 || !strings.Contains(w.Body.String(), "there is no directory") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("without the directory: %d %q", w.Code, w.Body)
	}
	if _, err := a.URL("app.js"); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("without the directory: %v", err)
	}
	put(t, dir, "app.js", "second")
	if w := ask(a, "/app.js"); w.Code != 200 || w.Body.String() != "second" {
		t.Errorf("made anew: %d %q", w.Code, w.Body)
	}
	put(t, dir, "~01234567/a.js", "1")
	if w := ask(a, "/app.js"); w.Code != 500 || !strings.Contains(w.Body.String(), "reserved") {
		t.Errorf("what cannot be published: %d %q", w.Code, w.Body)
	}
}

// TestDevBeforeApp: the app makes its pages in development as it does later.
func TestDevBeforeApp(t *testing.T) {
	a := open(t, mapFS(map[string]string{"index.html": "build's", "app.js": "1"}), asset.Options{Dev: true})
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app's") }))
	for target, want := range map[string]string{"/": "app's", "/app.js": "1", "/cart": "app's", "/index.html": "app's"} {
		if w := ask(h, target); w.Body.String() != want {
			t.Errorf("%s: %q, want %q", target, w.Body, want)
		}
	}
}
