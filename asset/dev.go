package asset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// devRelease is the ID of the one release in development.
const devRelease = "dev"

// dev serves a build as it changes: each request looks at it again.
type dev struct {
	place  publish.Place
	config config
}

var _ site = (*dev)(nil)

func newDev(p publish.Place, c config) (*dev, error) {
	var err error
	if c.id, err = holdfast.ParseReleaseID(devRelease); err != nil {
		return nil, err
	}
	c.links.Form, c.links.Unproved = urls.Plain, true
	if _, chosen := c.Settings["sourcemaps"]; !chosen {
		c.settings.SourceMaps = holdfast.SourceMapsPublic // they are for developers
	}
	d := &dev{p, c}
	_, err = d.outline(context.Background()) // a name that is wrong is found now
	return d, err
}

func (d *dev) outline(ctx context.Context) (*publish.Outline, error) {
	return d.place.Outline(ctx, publish.ScanOptions{SourceMaps: d.config.settings.SourceMaps})
}

func (d *dev) release() (*Release, error) {
	seen, err := d.outline(context.Background())
	if err != nil {
		return nil, fmt.Errorf("look at the build: %w", err)
	}
	c := d.config
	read := func(path string) ([]byte, error) { return readAll(d.place, path) }
	return newRelease(c.id, urls.New(c.links, c.id, &c.settings, seen.Manifest), false, c.EarlyHints, read)
}

func (d *dev) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, err := d.outline(r.Context())
		if err != nil {
			d.broken(w, err)
			return
		}
		table := tableOf(r.Context(), d.config, seen.Manifest, seen.Inventory)
		h := serve.NewHandler(fixed{table}, sight{d.place, seen}, serve.Options{Logger: d.config.log, Fresh: true})
		if next == nil {
			h.ServeHTTP(w, r)
		} else {
			h.Before(next).ServeHTTP(w, r)
		}
	})
}

// broken tells the developer, who made the request, what is wrong with the build.
func (d *dev) broken(w http.ResponseWriter, err error) {
	d.config.log.Error("build not served", "error", err)
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "the build cannot be served: "+err.Error(), http.StatusInternalServerError)
}

func (d *dev) status() Status { return Status{Ready: true} }

func (d *dev) Close() error { return nil }

// sight is where the bodies of one look come from: the files as they are now.
type sight struct {
	place publish.Place
	seen  *publish.Outline
}

var _ serve.Blobs = sight{}

// Hot implements serve.Blobs.
func (sight) Hot(blob.Ref) ([]byte, bool) { return nil, false }

// Open implements serve.Blobs. A file that changed since the outline has an unannounced
// length.
func (s sight) Open(_ context.Context, ref blob.Ref) (blob.Content, error) {
	was := s.seen.Files[ref.Name.Digest]
	f, err := s.place.Open(was.Path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && (info.Size() != was.Size || !info.ModTime().Equal(was.Modified)) {
		err = fmt.Errorf("%w: %s changed this very moment", holdfast.ErrConflict, was.Path)
	}
	if err != nil {
		_ = f.Close() // was not even read
		return nil, err
	}
	if at, ok := f.(io.ReaderAt); ok {
		return content{at, was.Size, f}, nil
	}
	data, err := io.ReadAll(f)
	if err == nil && int64(len(data)) != was.Size {
		err = io.ErrUnexpectedEOF
	}
	return content{bytes.NewReader(data), was.Size, f}, err
}
