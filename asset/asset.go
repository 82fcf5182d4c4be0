package asset

import (
	"cmp"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// Form is a form of the URLs that the helpers give. All forms are answered,
// whichever is given.
type Form = urls.Form

// The forms of URLs, below the app's mount.
const (
	Pinned  = urls.Pinned  // /@RELEASE/PATH: that release's file, whichever is live
	Full    = urls.Full    // /@RELEASE/~DIGEST/PATH: as pinned, and the URL proves the bytes
	Content = urls.Content // /~DIGEST/PATH: the same URL in every release with the same file
	Plain   = urls.Plain   // /PATH: the live release's file
)

// Encoder makes encoded forms of files. Package asset/compress has one.
type Encoder interface {
	// Encode returns identity in the coding, checked by decoding it again.
	Encode(c holdfast.Coding, identity []byte) ([]byte, error)
}

// Options of New, Open and Join. The zero value is of use.
type Options struct {
	// App is the name of the app, "default" by default.
	App string
	// Mount is the app's mount path: "/" (the default), "/static", or
	// "static.example.com/". The handler compares it with the URL as sent: do not use
	// http.StripPrefix.
	Mount string
	// Origin is put before each URL that the helpers return, such as
	// "https://cdn.example.com"; "" for none.
	Origin string
	// Form of the URLs that the helpers return, Pinned by default. Files with relative
	// references get the pinned form instead of Full or Content, from which the
	// references would not resolve.
	Form Form
	// SPA answers a navigation that finds no file with index.html.
	SPA bool
	// Settings are more settings of the app, as "holdfast app set" has them:
	// "cors": "off", "sourcemaps": "public", "immutable": "vendor/**".
	Settings map[string]string
	// Release is the ID of the release; by default it is made from the build's
	// digest, so that equal builds have equal URLs. With Join it is the release
	// whose URLs the helpers give; by default that is the live one.
	Release string

	// Dev reads the build again for each request and each helper, returns plain URLs
	// without integrity, and makes every answer uncacheable.
	Dev bool

	// Encoder encodes files at startup; by default only existing encoded files beside
	// them are sent (app.js.br, app.js.gz, app.js.zst).
	Encoder Encoder
	// Memory bounds the file bytes kept in memory, 256 MiB by default. Files beyond it,
	// or larger than a sixteenth of it, are read from their source on each request, and
	// verified.
	Memory int64
	// EarlyHints says when Preload sends an answer ahead of the answer.
	EarlyHints EarlyHints
	// Logger receives problems outside of requests; nil discards.
	Logger *slog.Logger
}

// defaultMemory is Options.Memory by default.
const defaultMemory = 256 << 20

// site serves a build and knows the release for pages.
type site interface {
	release() (*Release, error)
	// handler answers for the app's files, and leaves the rest to next if that is
	// not nil.
	handler(next http.Handler) http.Handler
	status() Status
	Close() error
}

// Assets are the files of an app: a handler that serves them and helpers that
// link to them. It may be used concurrently.
type Assets struct {
	site    site
	handler http.Handler
	end     func() error
}

var _ http.Handler = (*Assets)(nil)

// New returns the assets in fsys, often an embed.FS below its top directory (see
// fs.Sub). It reads all of it. Symlinks are refused: fsys does not say whether
// they lead out of it; Open does.
func New(fsys fs.FS, o Options) (*Assets, error) {
	if fsys == nil {
		return nil, fmt.Errorf("open assets: %w: there is no file system", holdfast.ErrInvalid)
	}
	return open(publish.FS(fsys), o)
}

// Open returns the assets in a directory, which no symlink may lead out of. The
// files must stay as they are until Close, unless Options.Dev is set.
func Open(dir string, o Options) (*Assets, error) { return open(publish.Dir(dir), o) }

func open(p publish.Place, o Options) (*Assets, error) {
	c, err := o.check()
	if err != nil {
		return nil, fmt.Errorf("open assets: %w", err)
	}
	var s site
	if o.Dev {
		s, err = newDev(p, c)
	} else {
		s, err = newLocal(p, c)
	}
	if err != nil {
		return nil, fmt.Errorf("open assets: %w", err)
	}
	return newAssets(s), nil
}

func newAssets(s site) *Assets { return &Assets{s, s.handler(nil), sync.OnceValue(s.Close)} }

// config are Options that were checked.
type config struct {
	Options
	app      holdfast.AppName
	settings holdfast.Settings
	id       holdfast.ReleaseID // zero: of the build, or the live release
	links    urls.Options
	log      *slog.Logger
}

func (o Options) check() (c config, err error) {
	c = config{Options: o, log: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	c.Memory = cmp.Or(o.Memory, defaultMemory)
	if c.app, err = holdfast.ParseAppName(cmp.Or(o.App, holdfast.DefaultApp().String())); err != nil {
		return c, err
	}
	if o.Release != "" {
		if c.id, err = holdfast.ParseReleaseID(o.Release); err != nil {
			return c, err
		}
	}
	if c.links.Form, err = urls.ParseForm(cmp.Or(string(o.Form), string(Pinned))); err != nil {
		return c, err
	}
	if o.Origin != "" {
		if c.links.Origin, err = urls.ParseOrigin(o.Origin); err != nil {
			return c, fmt.Errorf("%w: origin %q: %w", holdfast.ErrInvalid, o.Origin, err)
		}
	}
	return c, c.set()
}

// set builds the app's settings. A single app is mounted at the root, whatever its name.
func (c *config) set() error {
	c.settings = holdfast.DefaultSettings(c.app)
	if err := c.settings.Set("mount", cmp.Or(c.Mount, "/")); err != nil {
		return err
	}
	c.settings.SPA = c.SPA
	c.settings.Deltas = holdfast.DeltasOff // there is no earlier version here to make them of
	for key, value := range c.Settings {
		if err := c.settings.Set(key, value); err != nil {
			return err
		}
	}
	return nil
}

// ServeHTTP answers every request: a path without a file gets 404, or, with Options.SPA,
// the app's page.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Handler returns a handler that answers for the app's files, and for every URL that
// names a release or a digest, and leaves everything else to next: paths without a file,
// and documents (HTML) under their plain paths, which next makes itself.
func (a *Assets) Handler(next http.Handler) http.Handler { return a.site.handler(next) }

// Release returns the release that pages refer to now. A page that is made with
// one Release refers to one release, also when another one becomes live while it
// is being made.
func (a *Assets) Release() (*Release, error) { return a.site.release() }

// Close frees everything needed for serving, and removes a program that joined a cluster
// from its list of nodes. No request may be in progress. It may be called twice.
func (a *Assets) Close() error { return a.end() }

// URL is Release.URL of the release that pages refer to now.
func (a *Assets) URL(path string) (string, error) {
	r, err := a.site.release()
	if err != nil {
		return "", err
	}
	return r.URL(path)
}

// Integrity is Release.Integrity of the release that pages refer to now.
func (a *Assets) Integrity(path string) (string, error) {
	r, err := a.site.release()
	if err != nil {
		return "", err
	}
	return r.Integrity(path)
}
