package publish

import (
	"strings"
	"testing"
)

// References outside pinned pages are found, with the tool option that fixes them.
func TestUnpinnedPaths(t *testing.T) {
	const page = `<!doctype html><script type="module" crossorigin src="/assets/index-Ab3dEf99.js"></script>`
	for _, c := range []struct {
		name, script string
		files        []string
		settings     []string
		want         []string // of severity, message and hint; nil for no finding
	}{
		{"unhashed file", `const a="/img/logo.svg"`, []string{"img/logo.svg"}, nil, []string{"warning", "/img/logo.svg in assets/index-Ab3dEf99.js", `base: "./" in vite.config.js`}},
		{"hashed file", `const a="/img/logo-Ab3dEf77.svg"`, []string{"img/logo-Ab3dEf77.svg"}, nil, []string{"note", "/img/logo-Ab3dEf77.svg in"}},
		{"preloads of Vite", `const E=function(e){return"/"+e}`, []string{"assets/lazy-Ab3dEf77.js"}, nil, []string{"note", "/ in assets/index-Ab3dEf99.js"}},
		{"webpack", `var __webpack_require__={};__webpack_require__.p="/"`, []string{"chunk.js"}, nil, []string{"warning", `output.publicPath: "auto"`}},
		{"import by an absolute path", `import"/lib/x.js"`, []string{"lib/x.js"}, nil, []string{"warning", "/lib/x.js in"}},
		{"relative", `import"./x.js";new URL("y.svg",import.meta.url)`, []string{"assets/x.js", "assets/y.svg"}, nil, nil},
		{"other paths", `fetch("/api/v1.json");navigator.serviceWorker.register("/sw.js");location="/about.html"`, []string{"sw.js", "about.html"}, nil, nil},
		{"for another mount", `const a="/img/logo.svg"`, []string{"img/logo.svg"}, []string{"mount=/shop"}, nil},
		{"unpinned by a setting", `const a="/img/logo.svg"`, []string{"img/logo.svg"}, []string{"unpinned=img/**"}, nil},
		{"documents are plain", `const a="/img/logo.svg"`, []string{"img/logo.svg"}, []string{"documents=plain"}, nil},
	} {
		files := map[string]string{"index.html": page, "assets/index-Ab3dEf99.js": c.script}
		if c.name == "webpack" {
			files["index.html"] = `<!doctype html><script src="/assets/index-Ab3dEf99.js"></script>`
		}
		for _, p := range c.files {
			files[p] = "of " + p
		}
		o := pinning("v1", c.settings...)
		b := mustScan(t, write(t, files), ScanOptions{Mount: o.Settings.Mount})
		got := b.unpinned(&Subject{App: o.App, Settings: o.Settings, ID: o.ID})
		if len(got) == 0 || c.want == nil {
			if len(got) != len(c.want) {
				t.Errorf("%s: %+v", c.name, got)
			}
			continue
		}
		text := string(got[0].Severity) + " " + got[0].Message + " " + got[0].Hint
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q lacks %q", c.name, text, want)
			}
		}
	}
}
