package asset

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// Release is one release of an app, for pages that refer to its files. It is
// immutable and may be used concurrently.
type Release struct {
	*view
	nonce string
}

// view is the data shared by all pages that refer to a release.
type view struct {
	id     holdfast.ReleaseID
	links  *urls.Links
	files  map[string]reference // by path and by logical name
	bundle urls.Bundle          // nil without
	read   func(path string) ([]byte, error)
	early  EarlyHints

	mu   sync.Mutex
	sets map[string]*tagSet // by entries
}

// reference is the data for a page's reference to a file.
type reference struct{ url, integrity string }

// newRelease makes the view of a release. read returns the bytes of a file.
func newRelease(id holdfast.ReleaseID, l *urls.Links, proved bool, early EarlyHints, read func(path string) ([]byte, error)) (*Release, error) {
	r := &Release{view: &view{id: id, links: l, files: make(map[string]reference), read: read, early: early, sets: make(map[string]*tagSet)}}
	for name, f := range l.Named {
		if !l.Served(f) {
			continue
		}
		ref := reference{url: l.Href(f)}
		if proved {
			ref.integrity = urls.Integrity(f.Digest)
		}
		r.files[f.Path] = ref
		if _, taken := l.Manifest().Lookup(name); !taken {
			r.files[name] = ref
		}
	}
	for _, p := range []string{".vite/manifest.json", "manifest.json"} {
		text, err := read(p)
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, holdfast.ErrNotFound): // most builds have neither
		case err != nil:
			return nil, err
		case r.bundle == nil:
			r.bundle = urls.ParseBundle(text)
		}
	}
	return r, nil
}

// ID returns the release's ID.
func (r *Release) ID() string { return r.id.String() }

// URL returns the URL of a file by its path in the build, with or without a slash
// before it, or by its logical name: its path with "*" for the hash that the
// bundler put there ("assets/app-*.js"), if no other file has that name. It does
// not allocate. A file that there is not is holdfast.ErrNotFound.
func (r *Release) URL(path string) (string, error) {
	f, ok := r.files[strings.TrimPrefix(path, "/")]
	if !ok {
		return "", r.unknown(path)
	}
	return f.url, nil
}

// Integrity returns the value of the integrity attribute of the element that loads
// a file; "" in development, where files change. URL says how files are named.
func (r *Release) Integrity(path string) (string, error) {
	f, ok := r.files[strings.TrimPrefix(path, "/")]
	if !ok {
		return "", r.unknown(path)
	}
	return f.integrity, nil
}

// unknown names files that may have been meant.
func (r *Release) unknown(p string) error {
	p = strings.TrimPrefix(p, "/")
	stem, ext := strings.TrimSuffix(path.Base(p), path.Ext(p)), path.Ext(p)
	var near []string
	for name := range r.files {
		if base := path.Base(name); stem != "" && strings.HasPrefix(base, stem) && path.Ext(base) == ext {
			near = append(near, name)
		}
	}
	slices.Sort(near)
	hint := ""
	if len(near) > 0 {
		hint = "; did you mean " + strings.Join(near[:min(3, len(near))], ", ") + "?"
	}
	return fmt.Errorf("%w: release %s has no file %q%s", holdfast.ErrNotFound, r.id, p, hint)
}

// ImportMap returns an import map: the logical names of all scripts to their URLs and,
// except in development, the integrity of each. It is JSON that is safe in a script
// element.
func (r *Release) ImportMap() (template.JS, error) {
	text, err := json.Marshal(r.links.ImportMap()) // escapes < for use in a script element
	if err != nil {
		return "", fmt.Errorf("write import map: %w", err)
	}
	return template.JS(text), nil //nolint:gosec // JSON of our own
}

// WithNonce returns the release for one answer whose Content-Security-Policy names a
// nonce: the elements of Tags and of the functions of Funcs have it, and the fields of
// Preload. It is base64, new for each answer, and nobody can guess it, such as
// crypto/rand.Text; with anything else those methods fail. "" is none.
//
//	nonce := rand.Text()
//	w.Header().Set("Content-Security-Policy", "script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+"'")
//	err := page.Execute(w, release.WithNonce(nonce)) // {{.Tags}}
func (r *Release) WithNonce(nonce string) *Release { return &Release{r.view, nonce} }

// parsedNonce is the zero Nonce if there is none.
func (r *Release) parsedNonce() (urls.Nonce, error) {
	if r.nonce == "" {
		return urls.Nonce{}, nil
	}
	return urls.ParseNonce(r.nonce)
}

// tagSet collects the tags and hints of a page's entries, each once.
type tagSet struct {
	tags []urls.Tag
	html template.HTML // without a nonce
}

// maxSets bounds how many sets of entries are remembered.
const maxSets = 1000

// Tags returns the tags that load entries, one a line:
//
//   - a page of the build, such as index.html, which no entry at all means too:
//     the scripts, preloads and style sheets it loads from the build, and the
//     client helper if it does that;
//   - a source that Vite's manifest knows, such as src/main.ts: its script, the
//     style sheets and the modules that this imports;
//   - a script, as a module, or a style sheet, by a name as URL has it.
//
// They have URLs of the release, integrity and crossorigin. Where entries share
// a tag it is there once.
func (r *Release) Tags(entries ...string) (template.HTML, error) {
	set, err := r.set(entries)
	if err != nil {
		return "", err
	}
	nonce, err := r.parsedNonce()
	if err != nil || nonce == (urls.Nonce{}) {
		return set.html, err
	}
	return set.with(nonce), nil
}

// with writes the tags.
func (s *tagSet) with(n urls.Nonce) template.HTML {
	lines := make([]string, len(s.tags))
	for i, t := range s.tags {
		lines[i] = t.With(n).HTML
	}
	return template.HTML(strings.Join(lines, "\n")) //nolint:gosec // its attributes are escaped
}

func (r *Release) set(entries []string) (*tagSet, error) {
	key := strings.Join(entries, "\x00")
	r.mu.Lock()
	set := r.sets[key]
	r.mu.Unlock()
	if set != nil {
		return set, nil
	}
	set, err := r.makeSet(entries)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sets) < maxSets {
		r.sets[key] = set
	}
	return set, nil
}

func (r *Release) makeSet(entries []string) (*tagSet, error) {
	if len(entries) == 0 {
		entries = []string{"index.html"}
	}
	set, met := &tagSet{}, map[string]bool{}
	for _, entry := range entries {
		tags, err := r.entry(strings.TrimPrefix(entry, "/"))
		if err != nil {
			return nil, fmt.Errorf("make tags of %s: %w", entry, err)
		}
		for _, tag := range tags {
			if met[tag.HTML] {
				continue
			}
			if met[tag.Hint] { // a script and its preload
				tag.Hint = ""
			}
			met[tag.HTML], met[tag.Hint] = true, true
			set.tags = append(set.tags, tag)
		}
	}
	set.html = set.with(urls.Nonce{})
	return set, nil
}

func (r *Release) entry(name string) ([]urls.Tag, error) {
	if f, ok := r.links.Manifest().Lookup(name); ok && holdfast.IsDocument(f.MediaType) {
		page, err := r.read(name)
		if err != nil {
			return nil, err
		}
		return r.links.Tags(page), nil
	}
	if tags, ok := r.links.Entry(r.bundle, name); ok {
		return tags, nil
	}
	if _, ok := r.files[name]; ok {
		return nil, fmt.Errorf("%w: it is neither a page nor a script nor a style sheet", holdfast.ErrInvalid)
	}
	return nil, r.unknown(name)
}

// Funcs returns functions for html/template, all about this one release:
//
//	assetURL "img/logo.svg"        Release.URL
//	assetIntegrity "app.js"        Release.Integrity
//	assetTags "index.html"         Release.Tags
//	assetImportMap                 Release.ImportMap in a script element
func (r *Release) Funcs() template.FuncMap {
	return funcs(func() (*Release, error) { return r, nil })
}

// Funcs returns the functions of Release.Funcs, about the release that pages refer
// to when each is called. Where releases come and go (with Join) a page should
// use one Release for all of it: give its template the Release as data.
func (a *Assets) Funcs() template.FuncMap { return funcs(a.site.release) }

func funcs(current func() (*Release, error)) template.FuncMap {
	return template.FuncMap{
		"assetURL": func(path string) (string, error) {
			return with(current, func(r *Release) (string, error) { return r.URL(path) })
		},
		"assetIntegrity": func(path string) (string, error) {
			return with(current, func(r *Release) (string, error) { return r.Integrity(path) })
		},
		"assetTags": func(entries ...string) (template.HTML, error) {
			return with(current, func(r *Release) (template.HTML, error) { return r.Tags(entries...) })
		},
		"assetImportMap": func() (template.HTML, error) {
			return with(current, (*Release).importMapElement)
		},
	}
}

func (r *Release) importMapElement() (template.HTML, error) {
	nonce, err := r.parsedNonce()
	if err != nil {
		return "", err
	}
	text, err := r.ImportMap()
	return template.HTML(`<script type="importmap"` + nonce.Attribute() + `>` + string(text) + `</script>`), err //nolint:gosec // JSON with < escaped
}

func with[T any](current func() (*Release, error), do func(*Release) (T, error)) (T, error) {
	r, err := current()
	if err != nil {
		var none T
		return none, err
	}
	return do(r)
}

// Tags is Release.Tags of the release that pages refer to now.
func (a *Assets) Tags(entries ...string) (template.HTML, error) {
	return with(a.site.release, func(r *Release) (template.HTML, error) { return r.Tags(entries...) })
}

// ImportMap is Release.ImportMap of the release that pages refer to now.
func (a *Assets) ImportMap() (template.JS, error) {
	return with(a.site.release, (*Release).ImportMap)
}
