// Package visit plays the visitors of the rolling update: it has Chromium open the
// pages of a web application again and again, keeps tabs of every version open,
// and holds every answer against the builds.
package visit

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
)

// Version is one version of the web application, as its source has it.
type Version struct {
	Name  string
	Pages []string        // paths of the pages that it renders
	files map[string]file // of its front end, by path
}

type file struct {
	digest [sha256.Size]byte
	media  string
}

// ReadVersion reads a version's directory, in which lie dist, the build of its
// front end, and pages, the templates of its pages beside their layout.
func ReadVersion(name, dir string) (*Version, error) {
	v := &Version{Name: name, files: make(map[string]file)}
	source := os.DirFS(dir)
	templates, err := fs.Glob(source, "pages/*.html")
	if err != nil {
		return nil, fmt.Errorf("read version %s: %w", name, err)
	}
	if len(templates) < 2 {
		return nil, fmt.Errorf("read version %s: %s has no pages", name, dir)
	}
	for _, t := range templates {
		switch page := strings.TrimSuffix(path.Base(t), ".html"); page {
		case "layout":
		case "home":
			v.Pages = append(v.Pages, "/")
		default:
			v.Pages = append(v.Pages, "/"+page)
		}
	}
	if err := v.read(source); err != nil {
		return nil, fmt.Errorf("read version %s: %w", name, err)
	}
	return v, nil
}

func (v *Version) read(source fs.FS) error {
	dist, err := fs.Sub(source, "dist")
	if err != nil {
		return err
	}
	return fs.WalkDir(dist, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(dist, p)
		v.files[p] = file{sha256.Sum256(content), mediaType(p)}
		return err
	})
}

// mediaType returns what browsers want a file to be called.
func mediaType(p string) string {
	switch path.Ext(p) {
	case ".js":
		return "text/javascript"
	case ".css":
		return "text/css"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	default:
		return ""
	}
}

// judge says what is wrong with a file that a page of this version got, and
// returns "" if nothing is.
func (v *Version) judge(target, media string, content []byte) string {
	u, err := url.Parse(target)
	if err != nil {
		return err.Error()
	}
	p := strings.TrimPrefix(u.Path, "/")
	if strings.HasPrefix(p, "@") { // the form that names a release
		_, p, _ = strings.Cut(p, "/")
	}
	f, ok := v.files[p]
	switch {
	case !ok:
		return "is no file of version " + v.Name
	case media != f.media:
		return fmt.Sprintf("has the media type %s, not %s", media, f.media)
	case sha256.Sum256(content) != f.digest:
		return "has other bytes than version " + v.Name
	default:
		return ""
	}
}

// common returns the pages that all versions have.
func common(versions []*Version) (pages []string) {
	for _, page := range versions[0].Pages {
		if !slices.ContainsFunc(versions, func(v *Version) bool { return !slices.Contains(v.Pages, page) }) {
			pages = append(pages, page)
		}
	}
	return pages
}
