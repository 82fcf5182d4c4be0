package urls

import (
	"encoding/json"

	holdfast "github.com/holdfast-web/holdfast"
)

// Bundle is Vite's manifest: source files and their outputs (Vite guide, "Backend
// Integration").
type Bundle map[string]Chunk

// Chunk is the output of one source.
type Chunk struct {
	File    string   `json:"file"`
	CSS     []string `json:"css"`
	Imports []string `json:"imports"` // keys of others
}

// ParseBundle reads a file that may be such a manifest; nil if it is not.
func ParseBundle(text []byte) Bundle {
	var b Bundle
	if json.Unmarshal(text, &b) != nil {
		return nil
	}
	for _, c := range b {
		if c.File == "" {
			return nil
		}
	}
	return b
}

// key returns the key of the chunk that name refers to, by its source or its file.
func (b Bundle) key(name string) (key string, ok bool) {
	if _, ok := b[name]; ok {
		return name, true
	}
	for key, c := range b {
		if c.File == name {
			return key, true
		}
	}
	return "", false
}

// Entry returns the tags that load an entry: a source that b knows, or a script or a
// style sheet by its path or its logical name. With a bundle they include those of its
// imports: style sheets, the script itself, then its imports.
func (l *Links) Entry(b Bundle, name string) ([]Tag, bool) {
	f, found := l.find(name)
	if found {
		name = f.Path
	}
	if key, ok := b.key(name); ok {
		return l.chunk(b, key)
	}
	switch {
	case found && IsScript(f.MediaType):
		return []Tag{l.Module(f)}, true
	case found && IsStyle(f.MediaType):
		return []Tag{l.Stylesheet(f)}, true
	}
	return nil, false
}

// find returns the file for a path, or for a logical name of exactly one file.
func (l *Links) find(name string) (*holdfast.File, bool) {
	if f, ok := l.manifest.Lookup(name); ok {
		return f, true
	}
	for logical, f := range l.Named {
		if logical == name {
			return f, true
		}
	}
	return nil, false
}

func (l *Links) chunk(b Bundle, entry string) (tags []Tag, ok bool) {
	main, ok := l.manifest.Lookup(b[entry].File)
	if !ok {
		return nil, false
	}
	var styles, imports []Tag
	met := map[string]bool{}
	var visit func(key string)
	visit = func(key string) {
		if met[key] {
			return
		}
		met[key] = true
		c := b[key]
		for _, next := range c.Imports {
			visit(next)
		}
		for _, p := range c.CSS {
			if f, ok := l.manifest.Lookup(p); ok && !met["style "+p] {
				met["style "+p] = true
				styles = append(styles, l.Stylesheet(f))
			}
		}
		if f, ok := l.manifest.Lookup(c.File); ok && key != entry {
			imports = append(imports, l.ModulePreload(f))
		}
	}
	visit(entry)
	if IsStyle(main.MediaType) {
		return append(styles, l.Stylesheet(main)), true
	}
	return append(append(styles, l.Module(main)), imports...), true
}
