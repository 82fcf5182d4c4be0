package asset_test

import (
	"context"
	"crypto/rand"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/local"
)

// "all:" includes the bundler's .vite directory.
//
//go:embed all:testdata/dist
var embedded embed.FS

// build returns the files of the build, below its mount.
func build() fs.FS {
	dist, err := fs.Sub(embedded, "testdata/dist")
	if err != nil {
		log.Fatal(err)
	}
	return dist
}

// A site whose pages are files of the build.
func ExampleNew() {
	assets, err := asset.New(build(), asset.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()

	server := httptest.NewServer(assets)
	defer server.Close()
	for _, path := range []string{"/", "/assets/index-B7c3e9x2.js", "/img/logo.svg", "/nope.js"} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		_ = resp.Body.Close()
		fmt.Println(path, resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
	// Output:
	// / 200 no-cache
	// /assets/index-B7c3e9x2.js 200 public, max-age=31536000, immutable
	// /img/logo.svg 200 no-cache
	// /nope.js 404 no-store
}

// A server that makes its own pages, and leaves their files to Assets.
func ExampleAssets_Handler() {
	assets, err := asset.New(build(), asset.Options{Release: "v7"})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()
	page := template.Must(template.New("page").Parse(`<!doctype html>
<title>{{.Title}}</title>
{{.Release.Tags "src/main.ts"}}
<img src="{{.Release.URL "img/logo.svg"}}" alt="">
`))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		release, err := assets.Release() // one for the whole page
		if err != nil {
			http.Error(w, "no release", http.StatusServiceUnavailable)
			return
		}
		if err := release.Preload(w, r, "src/main.ts"); err != nil {
			log.Print(err)
		}
		if err := page.Execute(w, map[string]any{"Title": "Shop", "Release": release}); err != nil {
			log.Print(err)
		}
	})
	server := httptest.NewServer(assets.Handler(mux))
	defer server.Close()

	fmt.Println(get(server.URL + "/"))
	fmt.Println(get(server.URL + "/@v7/img/logo.svg"))
	// Output:
	// <!doctype html>
	// <title>Shop</title>
	// <link rel="stylesheet" href="/@v7/assets/index-C2v6n0b5.css" integrity="sha256-2HeoQYWpEpR14nthkUuWv9Is9GzmnpxOdLTGibzuW80=" crossorigin="anonymous">
	// <script type="module" src="/@v7/assets/index-B7c3e9x2.js" integrity="sha256-W+IXiClvG4uE7fiIwaeaRTJfsTqDW7PvIcIG9lkqWoM=" crossorigin="anonymous"></script>
	// <link rel="modulepreload" href="/@v7/assets/vendor-Dk4q8w1z.js" integrity="sha256-yPNnUAsi/fedPc+0qEsZSnULPc96g21qfRycV9IQSeg=" crossorigin="anonymous">
	// <img src="/@v7/img/logo.svg" alt="">
	// <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M1 1h6v6H1z" fill="#2a6"/></svg>
}

// Functions for templates of a server with an embedded build.
func ExampleAssets_Funcs() {
	assets, err := asset.New(build(), asset.Options{Mount: "/static", Form: asset.Content})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()
	page := template.Must(template.New("page").Funcs(assets.Funcs()).Parse(`<img src="{{assetURL "img/logo.svg"}}" alt="">
`))
	if err := page.Execute(os.Stdout, nil); err != nil {
		log.Fatal(err)
	}
	// Output:
	// <img src="/static/~8248b1925d9868a9/img/logo.svg" alt="">
}

// A page under a Content-Security-Policy that names a nonce.
func ExampleRelease_WithNonce() {
	assets, err := asset.New(build(), asset.Options{Release: "v7"})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()
	page := template.Must(template.New("page").Parse("{{.Tags \"assets/vendor-*.js\"}}\n"))
	handler := func(w http.ResponseWriter, _ *http.Request) {
		nonce := rand.Text() // new for each answer
		w.Header().Set("Content-Security-Policy", "script-src 'nonce-"+nonce+"'")
		release, err := assets.Release()
		if err == nil {
			err = page.Execute(w, release.WithNonce(nonce))
		}
		if err != nil {
			log.Print(err)
		}
	}
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest("GET", "/", nil))
	policy := w.Header().Get("Content-Security-Policy")
	nonce := strings.TrimSuffix(strings.TrimPrefix(policy, "script-src 'nonce-"), "'")
	fmt.Print(strings.ReplaceAll(w.Body.String(), nonce, "NONCE"))
	// Output:
	// <script nonce="NONCE" type="module" src="/@v7/assets/vendor-Dk4q8w1z.js" integrity="sha256-yPNnUAsi/fedPc+0qEsZSnULPc96g21qfRycV9IQSeg=" crossorigin="anonymous"></script>
}

// Two programs, each with its own build, in one cluster: here with a registry and a store
// in a directory.
func ExampleJoin() {
	dir, err := os.MkdirTemp("", "cluster")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	start := func(name string, build fs.FS) *asset.Assets {
		assets, err := asset.Join(context.Background(), asset.Cluster{
			Registry: local.Registry{Path: filepath.Join(dir, "registry.db")},
			Store:    local.Store{Dir: filepath.Join(dir, "store")},
			Name:     name,
			Build:    build,
		}, asset.Options{})
		if err != nil {
			log.Fatal(err)
		}
		return assets
	}
	before := start("n1", fstest.MapFS{"app.js": {Data: []byte("one")}})
	after := start("n2", fstest.MapFS{"app.js": {Data: []byte("two")}})
	defer after.Close()

	page, err := before.Release() // of a page that stays open
	if err != nil {
		log.Fatal(err)
	}
	url, err := page.URL("app.js")
	if err != nil {
		log.Fatal(err)
	}
	if err := before.Close(); err != nil { // the update is complete
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	after.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
	fmt.Println(w.Code, w.Body, after.Ready())
	// Output:
	// 200 one <nil>
}

// Two programs that share a registry and no store: each stores its build in its own
// directory, and copies the other one's. On separate machines they would have a registry
// of package zookeeper or etcd, and the same port.
func ExampleJoin_peers() {
	dir, err := os.MkdirTemp("", "cluster")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	start := func(name string, build fs.FS) *asset.Assets {
		assets, err := asset.Join(context.Background(), asset.Cluster{
			Registry: local.Registry{Path: filepath.Join(dir, "registry.db")},
			Peers:    &asset.Peers{Listen: "127.0.0.1:0", Secret: "what openssl rand -hex 32 printed", Copies: 1},
			Name:     name,
			DataDir:  filepath.Join(dir, name),
			Build:    build,
		}, asset.Options{})
		if err != nil {
			log.Fatal(err)
		}
		return assets
	}
	before := start("n1", fstest.MapFS{"app.js": {Data: []byte("one")}})
	after := start("n2", fstest.MapFS{"app.js": {Data: []byte("two")}})
	defer after.Close()

	url, err := before.URL("app.js")
	if err != nil {
		log.Fatal(err)
	}
	copies := before.Status().Copies
	for ; copies.Held < 2; copies = before.Status().Copies { // until then its end removes the build
		time.Sleep(50 * time.Millisecond)
	}
	if err := before.Close(); err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	after.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
	fmt.Println(w.Code, w.Body, copies.Held, copies.Wanted)
	// Output:
	// 200 one 2 2
}

// A path that the build does not have is an error, never a broken link.
func ExampleAssets_URL() {
	assets, err := asset.New(build(), asset.Options{Release: "v7"})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()
	fmt.Println(assets.URL("img/logo.svg"))
	fmt.Println(assets.URL("assets/index-*.js")) // whatever its hash
	fmt.Println(assets.URL("assets/index.js"))
	// Output:
	// /@v7/img/logo.svg <nil>
	// /@v7/assets/index-B7c3e9x2.js <nil>
	//  not found: release v7 has no file "assets/index.js"; did you mean assets/index-*.js, assets/index-B7c3e9x2.js?
}

// In development the directory is read again for each request.
func ExampleOpen_development() {
	dir, err := os.MkdirTemp("", "dist")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	assets, err := asset.Open(dir, asset.Options{Dev: true})
	if err != nil {
		log.Fatal(err)
	}
	defer assets.Close()
	server := httptest.NewServer(assets)
	defer server.Close()
	for _, text := range []string{"first", "second"} {
		if err := os.WriteFile(dir+"/index.html", []byte(text), 0o644); err != nil {
			log.Fatal(err)
		}
		fmt.Println(get(server.URL))
	}
	// Output:
	// first
	// second
}

func get(url string) string {
	resp, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	if err := resp.Write(&text); err != nil {
		log.Fatal(err)
	}
	_, body, _ := strings.Cut(text.String(), "\r\n\r\n")
	return strings.TrimSpace(body)
}
