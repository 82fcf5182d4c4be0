package asset_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/etcd"
	"github.com/holdfast-web/holdfast/asset/local"
	"github.com/holdfast-web/holdfast/asset/s3"
	"github.com/holdfast-web/holdfast/asset/zookeeper"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
	"github.com/holdfast-web/holdfast/test/services"
)

// memory is a cluster in this process.
type memory struct {
	db    *memkv.DB
	store *memstore.Driver
}

func inMemory() memory { return memory{memkv.New(memkv.Options{}), memstore.New()} }

func (m memory) cluster() asset.Cluster { return asset.Cluster{Registry: m, Store: m} }

func (m memory) OpenRegistry(context.Context, asset.Opening) (kv.Driver, error) {
	return m.db.Client(), nil
}

func (m memory) OpenStore(context.Context, *slog.Logger) (store.Driver, error) { return m.store, nil }

// publisher publishes and activates in a cluster, beside the programs that joined.
type publisher struct {
	t        *testing.T
	where    asset.Cluster
	registry *registry.Registry
	store    *store.Store
}

func newPublisher(t *testing.T, where asset.Cluster) *publisher {
	t.Helper()
	p := &publisher{t: t, where: where}
	driver, err := where.Registry.OpenRegistry(t.Context(), asset.Opening{Create: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := where.Store.OpenStore(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, d := range []any{driver, bytes} {
			if c, ok := d.(io.Closer); ok {
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	p.store = store.New(bytes)
	if p.registry, err = registry.Open(t.Context(), driver, registry.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := p.store.Claim(t.Context(), p.registry.ID()); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish publishes a release; without an ID under the one that the build gives it.
func (p *publisher) publish(id string, files map[string]string) string {
	p.t.Helper()
	b, err := publish.FS(mapFS(files)).Scan(p.t.Context(), publish.ScanOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	app := holdfast.DefaultApp()
	o := publish.Options{App: app, Settings: holdfast.DefaultSettings(app), Effort: coding.Fast}
	if id != "" {
		o.ID = holdtest.ID(id)
	}
	result, err := publish.Publish(p.t.Context(), publish.Deps{Store: p.store, Registry: p.registry}, b, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return result.Release.ID.String()
}

func (p *publisher) activate(id string) {
	p.t.Helper()
	if _, _, err := p.registry.Activate(p.t.Context(), holdfast.DefaultApp(), holdtest.ID(id), registry.ActivateOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// awaitURL waits until pages refer to a URL.
func awaitURL(t *testing.T, a *asset.Assets, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		got, err := a.URL(path)
		if err == nil && got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("pages refer to %q (%v), want %q", got, err, want)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func version(n string) map[string]string {
	return map[string]string{
		"index.html":        `<script type="module" src="./app.js"></script>`,
		"app.js":            "export default " + n + ";" + strings.Repeat(" ", 200),
		"only-" + n + ".js": n,
	}
}

func TestJoinMemory(t *testing.T) {
	t.Parallel()
	m := inMemory()
	testJoin(t, asset.Cluster{Registry: m, Store: m})
}

func TestJoinLocal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	where := asset.Cluster{
		Registry: local.Registry{Path: filepath.Join(dir, "registry.db")}, Store: local.Store{Dir: filepath.Join(dir, "store")},
		DataDir: filepath.Join(dir, "data"),
	}
	if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrNotFound) || !strings.Contains(err.Error(), "there is no registry") {
		t.Errorf("without a registry: %v", err)
	}
	driver, err := sqlitekv.Open(t.Context(), filepath.Join(dir, "registry.db"), sqlitekv.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Close(); err != nil {
		t.Fatal(err)
	}
	testJoin(t, where)
}

func TestJoinServers(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts real servers")
	}
	bucket := services.StartS3(t, services.S3Options{})
	store := func(name string) s3.Store {
		bucket.Bucket(t, name)
		return s3.Store{URL: "s3://" + name + "?endpoint=" + bucket.URL, AccessKey: bucket.AccessKey, SecretKey: bucket.SecretKey}
	}
	t.Run("zookeeper", func(t *testing.T) {
		z := services.StartZooKeeper(t, services.ZooKeeperOptions{})
		testJoin(t, asset.Cluster{Registry: zookeeper.Registry{URL: "zk://" + z.Addresses[0] + "/shop"}, Store: store("zookeeper")})
	})
	t.Run("etcd", func(t *testing.T) {
		e := services.StartEtcd(t, services.EtcdOptions{})
		testJoin(t, asset.Cluster{Registry: etcd.Registry{URL: "etcd://" + e.Endpoints[0] + "/shop"}, Store: store("etcd")})
	})
}

// testJoin: a program that joined serves every release, refers to the live one, and
// picks up new activations.
func testJoin(t *testing.T, where asset.Cluster) {
	if _, err := asset.Join(t.Context(), where, asset.Options{}); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("without anything published: %v", err)
	}
	p := newPublisher(t, where)
	p.publish("r1", version("1"))
	a, err := asset.Join(t.Context(), where, asset.Options{})
	a = opened(t, a, err)
	if _, err := a.URL("app.js"); !errors.Is(err, holdfast.ErrNotFound) || !strings.Contains(err.Error(), "no live release") {
		t.Errorf("with nothing live: %v", err)
	}
	p.activate("r1")
	awaitURL(t, a, "app.js", "/@r1/app.js")
	page, err := a.Release()
	if err != nil {
		t.Fatal(err)
	}
	p.publish("r2", version("2"))
	p.activate("r2")
	awaitURL(t, a, "app.js", "/@r2/app.js")

	if url, err := page.URL("app.js"); err != nil || url != "/@r1/app.js" || page.ID() != "r1" {
		t.Errorf("a page that began before refers to %s (%v)", url, err)
	}
	if html, err := a.Tags(); err != nil || !strings.Contains(string(html), `src="/@r2/app.js" integrity="sha256-`) {
		t.Errorf("tags: %s %v", html, err)
	}
	h := a.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") }))
	for target, want := range map[string]string{
		"/": "page", "/@r1/only-1.js": "1", "/@r2/only-2.js": "2", "/only-1.js": "1", "/only-2.js": "2",
		"/@r1/app.js": version("1")["app.js"], "/app.js": version("2")["app.js"],
	} {
		if w := ask(h, target); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q, want %q", target, w.Code, w.Body, want)
		}
	}
	where.DataDir = "" // only a has it
	fixed, err := asset.Join(t.Context(), where, asset.Options{Release: "r1", Origin: "https://cdn.example.com"})
	if url, err := opened(t, fixed, err).URL("app.js"); err != nil || url != "https://cdn.example.com/@r1/app.js" {
		t.Errorf("URL of a fixed release: %s %v", url, err)
	}
	p.activate("r1") // a rollback
	awaitURL(t, a, "app.js", "/@r1/app.js")
	where.Create = true // app shop, beside the one that there is
	b := join(t, with(where, "b", version("3")), asset.Options{App: "shop"})
	gives(t, a, urlOf(t, b, "only-3.js"), "3")
	gives(t, b, "/@r2/only-2.js", "2")
}

// TestSameIdentityAsPublished: an embedded build has the ID and the URLs that the
// same build has where it is published without one.
func TestSameIdentityAsPublished(t *testing.T) {
	where := inMemory().cluster()
	p := newPublisher(t, where)
	embedded := open(t, mapFS(version("1")), asset.Options{})
	r, err := embedded.Release()
	if err != nil {
		t.Fatal(err)
	}
	if got := p.publish("", version("1")); got != r.ID() {
		t.Fatalf("published as %s, embedded as %s", got, r.ID())
	}
	joined, err := asset.Join(t.Context(), where, asset.Options{Release: r.ID()})
	joined = opened(t, joined, err)
	for path := range version("1") {
		one, err1 := embedded.URL(path)
		two, err2 := joined.URL(path)
		if one != two || err1 != nil || err2 != nil {
			t.Errorf("%s: %s embedded (%v), %s published (%v)", path, one, err1, two, err2)
		}
		if a, b := ask(embedded, one), ask(joined, two); a.Body.String() != b.Body.String() || a.Header().Get("Etag") != b.Header().Get("Etag") {
			t.Errorf("%s: %v embedded, %v published", path, a, b)
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	m := inMemory()
	whole, build := asset.Cluster{Registry: m, Store: m}, mapFS(version("1"))
	for _, tt := range []struct {
		where asset.Cluster
		o     asset.Options
		says  string
	}{
		{asset.Cluster{Store: m}, asset.Options{}, "needs a Registry"},
		{asset.Cluster{Registry: m}, asset.Options{}, "needs a Store that all nodes share, or Peers"},
		{whole, asset.Options{Mount: "/x"}, "holdfast app set"},
		{whole, asset.Options{Dev: true}, "Dev"},
		{asset.Cluster{Registry: m, Store: m, Side: "a/b"}, asset.Options{}, "side"},
		{asset.Cluster{Registry: m, Store: m, Identity: "node"}, asset.Options{}, "there is none"},
		{asset.Cluster{Registry: m, Store: m, CacheBytes: 1}, asset.Options{}, "DataDir"},
		{asset.Cluster{Registry: m, Store: m, Poll: -1}, asset.Options{}, "negative"},
		{asset.Cluster{Registry: m, Store: m, Build: build, Identity: "a b"}, asset.Options{}, "identity: want content, node, address or an ID"},
		{asset.Cluster{Registry: m, Store: m, Build: build, Identity: "address"}, asset.Options{}, `address ""`},
		{asset.Cluster{Registry: m, Store: m, Build: build, Identity: "address", Address: ":80"}, asset.Options{}, `address ":80"`},
		{asset.Cluster{Registry: m, Store: m, Build: build, Identity: "address", Address: "0.0.0.0:80"}, asset.Options{}, `address "0.0.0.0:80"`},
		{asset.Cluster{Registry: m, Store: m, Build: build}, asset.Options{Release: "v1"}, "Identity says"},
		{asset.Cluster{Registry: m, Store: m, Build: build, DataDir: "/dev/null"}, asset.Options{}, "/dev/null"},
		{asset.Cluster{Registry: m, Store: m, Build: mapFS(map[string]string{"@x/a.js": ""})}, asset.Options{}, "@x"},
		{asset.Cluster{Registry: zookeeper.Registry{URL: "zk:"}, Store: m}, asset.Options{}, "zk://"},
		{asset.Cluster{Registry: etcd.Registry{URL: "http://x"}, Store: m}, asset.Options{}, "etcd://"},
	} {
		if _, err := asset.Join(t.Context(), tt.where, tt.o); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v, want %q", tt.o, err, tt.says)
		}
	}
}
