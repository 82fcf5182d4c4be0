package urls

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// linksTo returns the links of release r1 of an app at mount with files of the
// given paths.
func linksTo(t *testing.T, mount string, paths ...string) *Links {
	t.Helper()
	var files []holdfast.File
	for _, p := range paths {
		f := holdfast.File{Path: p, Digest: holdfast.DigestOf([]byte(p)), MediaType: "text/javascript", Logical: p}
		f.Logical = strings.ReplaceAll(p, "-D7m8275w", "-*")
		f.Logical = strings.ReplaceAll(f.Logical, "-C3k9152x", "-*")
		files = append(files, f)
	}
	m := holdtest.Must(holdfast.NewManifest(files))
	settings := holdfast.DefaultSettings(holdfast.DefaultApp())
	if err := settings.Set("mount", mount); err != nil {
		t.Fatal(err)
	}
	id := holdtest.ID("r1")
	return New(Options{}, id, &settings, m)
}

func htmlOf(tags []Tag) (html []string) {
	for _, tag := range tags {
		html = append(html, tag.HTML)
	}
	return html
}

func TestTags(t *testing.T) {
	tests := []struct {
		name, mount, page string
		want              []string // the URLs
	}{
		{"relative", "/", `<script src="a.js"></script><link rel=stylesheet href=./b.css>`, []string{"/@r1/a.js", "/@r1/b.css"}},
		{"absolute", "/", `<script src="/a.js">`, []string{"/@r1/a.js"}},
		{"mounted", "/shop", `<script src="/shop/a.js"></script><script src="/b.css"></script>`, []string{"/shop/@r1/a.js"}},
		{"base", "/", `<base href="/sub/"><script src="c.js">`, []string{"/@r1/sub/c.js"}},
		{"foreign base", "/", `<base href="https://example.com/"><script src="a.js">`, nil},
		{"other hosts", "/", `<script src="//example.com/a.js"></script><script src="data:,a"></script>`, nil},
		{"missing", "/", `<script src="nope.js">`, nil},
		{"query", "/", `<script src="a.js?v=1#x">`, []string{"/@r1/a.js"}},
		{"what is no tag", "/", `<!-- <script src="a.js"> --><script>"<script src=a.js>"</script><style>a{}</style>`, nil},
		{"other links", "/", `<link rel="icon" href="a.js"><link rel="preload" as=script href="a.js"><a href="a.js">`, []string{"/@r1/a.js"}},
		{"escaped", "/", `<script src="sp%20ace&amp;.js">`, []string{"/@r1/sp%20ace&amp;.js"}},
		{"upper case", "/", `<SCRIPT SRC=a.js></SCRIPT>`, []string{"/@r1/a.js"}},
		{"source map", "/", `<script src="a.js.map">`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := linksTo(t, tt.mount, "a.js", "b.css", "sub/c.js", "sp ace&.js", "a.js.map")
			var got []string
			for _, tag := range htmlOf(l.Tags([]byte(tt.page))) {
				if !strings.Contains(tag, ` integrity="sha256-`) || !strings.Contains(tag, ` crossorigin="anonymous"`) {
					t.Errorf("tag %s lacks integrity or crossorigin", tag)
				}
				_, rest, _ := strings.Cut(strings.Replace(tag, ` src="`, ` href="`, 1), ` href="`)
				url, _, _ := strings.Cut(rest, `"`)
				got = append(got, url)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTagKeepsWhatMatters(t *testing.T) {
	l := linksTo(t, "/", "a.js")
	page := `<script type="module" async nonce="secret" data-x="1" onload="evil()" src="a.js"></script>` +
		`<link rel="modulepreload" as="script" fetchpriority="high" href="a.js">`
	sri := Integrity(holdfast.DigestOf([]byte("a.js")))
	want := []string{
		`<script type="module" async src="/@r1/a.js" integrity="` + sri + `" crossorigin="anonymous"></script>`,
		`<link rel="modulepreload" as="script" fetchpriority="high" href="/@r1/a.js" integrity="` + sri + `" crossorigin="anonymous">`,
	}
	if diff := cmp.Diff(want, htmlOf(l.Tags([]byte(page)))); diff != "" {
		t.Error(diff)
	}
}

func TestImportMapNamesAreUnambiguous(t *testing.T) {
	l := linksTo(t, "/", "app-D7m8275w.js", "chunk-D7m8275w.js", "chunk-C3k9152x.js")
	want := map[string]string{
		"app-*.js":          "/@r1/app-D7m8275w.js",
		"chunk-D7m8275w.js": "/@r1/chunk-D7m8275w.js",
		"chunk-C3k9152x.js": "/@r1/chunk-C3k9152x.js",
	}
	if diff := cmp.Diff(want, l.ImportMap().Imports); diff != "" {
		t.Error(diff)
	}
	if n := len(l.ImportMap().Integrity); n != 3 {
		t.Errorf("%d scripts have integrity metadata, want 3", n)
	}
}

func FuzzTags(f *testing.F) {
	f.Add(`<script src="a.js">`)
	f.Add(`<base href=":"><link rel=stylesheet href="%zz">`)
	f.Add(`<script src="a.js`)
	f.Add(`<svg><script href="a.js"/></svg>`)
	f.Fuzz(func(t *testing.T, page string) {
		l := linksTo(t, "/", "a.js")
		for _, tag := range htmlOf(l.Tags([]byte(page))) {
			if strings.Count(tag, "<") > 2 {
				t.Errorf("markup got through: %s", tag)
			}
		}
	})
}

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://cdn.example.com": "https://cdn.example.com", "http://localhost:8080/": "http://localhost:8080",
		"cdn.example.com": "", "ftp://x": "", "https://": "", "https://u:p@x": "", "https://x/path": "", "https://x?q": "", "https://x#f": "",
	} {
		if got, err := ParseOrigin(text); got != want || (err == nil) != (want != "") {
			t.Errorf("ParseOrigin(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

// A browser that fetches a file early must request it like the page, or it fetches it
// twice.
func TestHints(t *testing.T) {
	l := linksTo(t, "/", "a.js", "b.css")
	sri := func(p string) string {
		return `; crossorigin; integrity="` + Integrity(holdfast.DigestOf([]byte(p))) + `"`
	}
	for page, want := range map[string]string{
		`<script type=module src=a.js></script>`:                 `</@r1/a.js>; rel=modulepreload` + sri("a.js"),
		`<script defer src=a.js></script>`:                       `</@r1/a.js>; rel=preload; as=script` + sri("a.js"),
		`<script nomodule src=a.js></script>`:                    "",
		`<link rel=stylesheet href=b.css>`:                       `</@r1/b.css>; rel=preload; as=style` + sri("b.css"),
		`<link rel=stylesheet media=print href=b.css>`:           "",
		`<link rel="preload" as="script" href="a.js">`:           `</@r1/a.js>; rel=preload; as=script` + sri("a.js"),
		`<link rel="preload" as="script, <x>" href="a.js">`:      "",
		`<link rel="modulepreload" fetchpriority=low href=a.js>`: `</@r1/a.js>; rel=modulepreload` + sri("a.js"),
	} {
		if tags := l.Tags([]byte(page)); len(tags) != 1 || tags[0].Hint != want {
			t.Errorf("%s: %v, want the hint %s", page, tags, want)
		}
	}
}

func TestHrefKeepsRelativeFilesTogether(t *testing.T) {
	l := linksTo(t, "/", "a.js")
	f, _ := l.Manifest().Lookup("a.js")
	relative := *f
	relative.Relative = true
	for form, want := range map[Form][2]string{
		"":      {"/@r1/a.js", "/@r1/a.js"},
		Pinned:  {"/@r1/a.js", "/@r1/a.js"},
		Full:    {"/@r1/~" + f.Digest.String()[:16] + "/a.js", "/@r1/a.js"},
		Content: {"/~" + f.Digest.String()[:16] + "/a.js", "/@r1/a.js"},
		Plain:   {"/a.js", "/a.js"},
	} {
		l.options.Form = form
		if got := [2]string{l.Href(f), l.Href(&relative)}; got != want {
			t.Errorf("form %q: %v, want %v", form, got, want)
		}
	}
}
