package publish

import (
	"encoding/json"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// maxBundlerManifest limits how much of a possible manifest is read.
const maxBundlerManifest = 16 << 20

// bundlerManifests is the combined content of the manifests that bundlers leave in a
// build.
type bundlerManifests struct {
	// listed is evidence for holdfast.LogicalNames.
	listed map[string]bool
	found  []bundlerManifest
}

// bundlerManifest is one of them: its path, and the files it lists as URLs
// relative to the app's mount.
type bundlerManifest struct {
	path string
	refs []string
}

// readBundlerManifests understands the manifests of Vite (2 to 4:
// manifest.json, later .vite/manifest.json) and of webpack's manifest plugins
// and create-react-app (asset-manifest.json, manifest.json). A file of such a
// name that is something else, or cannot be read, says nothing.
func (t *tree) readBundlerManifests() bundlerManifests {
	m := bundlerManifests{listed: make(map[string]bool)}
	for _, p := range bundlerManifestPaths() {
		text := t.readSmall(p)
		if text == nil {
			continue
		}
		if refs := m.vite(text); refs != nil {
			m.found = append(m.found, bundlerManifest{p, refs})
		} else if refs := m.webpack(text); refs != nil {
			m.found = append(m.found, bundlerManifest{p, refs})
		}
	}
	if text := t.readSmall("remoteEntry.json"); text != nil {
		m.federation(text)
	}
	return m
}

func bundlerManifestPaths() []string {
	return []string{".vite/manifest.json", "manifest.json", "asset-manifest.json"}
}

func (t *tree) readSmall(p string) []byte {
	f, err := t.fsys.Open(p)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // nothing was written
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > maxBundlerManifest {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(f, maxBundlerManifest))
	if err != nil {
		return nil
	}
	return text
}

// viteChunk is an entry of Vite's manifest (Vite guide, "Backend Integration").
type viteChunk struct {
	File   string   `json:"file"`
	Src    string   `json:"src"`
	Name   string   `json:"name"`
	CSS    []string `json:"css"`
	Assets []string `json:"assets"`
}

func (m *bundlerManifests) vite(text []byte) (refs []string) {
	var chunks map[string]viteChunk
	if json.Unmarshal(text, &chunks) != nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(chunks)) {
		c := chunks[key]
		if c.File == "" {
			return nil
		}
		refs = append(append(append(refs, escapePath(c.File)), escapePaths(c.CSS)...), escapePaths(c.Assets)...)
	}
	for _, c := range chunks {
		switch file := stemOf(c.File); {
		case c.Src != "" && stemOf(c.Src) == file:
			m.listed[c.File] = false
		case c.Src != "" && startsWithStem(file, stemOf(c.Src)), c.Name != "" && startsWithStem(file, path.Base(c.Name)):
			m.listed[c.File] = true
		}
	}
	return refs
}

// webpack reads {"main.js": "/static/js/main.<hash>.js", …}, which
// create-react-app wraps as {"files": {…}, "entrypoints": […]}. Chunks without a
// name are listed under their own: that says nothing.
func (m *bundlerManifests) webpack(text []byte) (refs []string) {
	var wrapped struct {
		Files map[string]string `json:"files"`
	}
	files := map[string]string{}
	if json.Unmarshal(text, &wrapped) == nil && wrapped.Files != nil {
		files = wrapped.Files
	} else if json.Unmarshal(text, &files) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		url := files[name]
		if path.Ext(name) == "" || path.Ext(url) == "" {
			return nil // a web manifest or another list of texts
		}
		refs = append(refs, url)
	}
	for name, url := range files {
		if startsWithStem(stemOf(url), stemOf(name)) {
			m.listed[strings.TrimPrefix(strings.TrimPrefix(url, "."), "/")] = true
		}
	}
	return refs
}

// federation reads the list of native federation, whose shared packages are named by a
// hash of their version and options, not of their bytes
// (angular-architects/module-federation-plugin, issue 67).
func (m *bundlerManifests) federation(text []byte) {
	var remote struct {
		Shared []struct {
			OutFileName string `json:"outFileName"`
		} `json:"shared"`
	}
	if json.Unmarshal(text, &remote) != nil {
		return
	}
	for _, s := range remote.Shared {
		m.listed[s.OutFileName] = false
	}
}

// stemOf is the file name up to its extension.
func stemOf(p string) string { return strings.TrimSuffix(path.Base(p), path.Ext(p)) }

// startsWithStem reports whether file continues the source's name with a token.
func startsWithStem(file, source string) bool {
	return source != "" && len(file) > len(source)+1 && strings.HasPrefix(file, source) && strings.ContainsRune("-._", rune(file[len(source)]))
}
