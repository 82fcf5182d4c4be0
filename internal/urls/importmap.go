package urls

import (
	"mime"

	holdfast "github.com/holdfast-web/holdfast"
)

// ImportMap is an import map with integrity metadata (WHATWG HTML, section
// 8.1.6.2).
type ImportMap struct {
	Imports   map[string]string `json:"imports"`
	Integrity map[string]string `json:"integrity,omitempty"`
}

// ImportMap maps the logical names of scripts to their URLs. Scripts that share a logical
// name keep their paths: a name must not be ambiguous.
func (l *Links) ImportMap() ImportMap {
	m := ImportMap{Imports: map[string]string{}}
	if !l.options.Unproved {
		m.Integrity = map[string]string{}
	}
	for name, f := range l.Named {
		if !IsScript(f.MediaType) {
			continue
		}
		m.Imports[name] = l.Href(f)
		if !l.options.Unproved {
			m.Integrity[l.Href(f)] = Integrity(f.Digest)
		}
	}
	return m
}

// Named calls yield with each file and its logical name, or its path if others share that
// name.
func (l *Links) Named(yield func(name string, f *holdfast.File) bool) {
	files := l.manifest.Files()
	holders := make(map[string]int)
	for i := range files {
		holders[files[i].Logical]++
	}
	for i := range files {
		name := files[i].Logical
		if holders[name] > 1 {
			name = files[i].Path
		}
		if !yield(name, &files[i]) {
			return
		}
	}
}

// IsScript reports whether a media type is that of a script.
func IsScript(mediaType string) bool {
	base, _, err := mime.ParseMediaType(mediaType)
	return err == nil && (base == "text/javascript" || base == "application/javascript")
}

// IsStyle reports whether a media type is that of a style sheet.
func IsStyle(mediaType string) bool {
	base, _, err := mime.ParseMediaType(mediaType)
	return err == nil && base == "text/css"
}
