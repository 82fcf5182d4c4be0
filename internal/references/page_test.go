package references

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	nethtml "golang.org/x/net/html"
)

// release has these files; what ends with .html may not be pinned.
func release() []string {
	return []string{
		"index.html", "docs/index.html", "app.js", "b.js", "docs/c.js", "style.css", "pic.png", "pic@2x.png", "a b.png", "f.woff2",
		"lib/x.js", "site.webmanifest", "data.json", "é.js", "w,1.png",
	}
}

func page(mount, path string) Page {
	return Page{Mount: mount, Path: path, Base: mount + "/@v1/", Pins: func(p string) bool {
		dir := strings.HasSuffix(p, "/") && slices.ContainsFunc(release(), func(f string) bool { return strings.HasPrefix(f, p) })
		return dir || slices.Contains(release(), p) && !strings.HasSuffix(p, ".html")
	}}
}

func TestPin(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`<script src=app.js></script>`, `<script src=/@v1/app.js></script>`},
		{`<SCRIPT  SRC = 'app.js?v=1&amp;w=2#x' ></SCRIPT>`, `<SCRIPT  SRC = '/@v1/app.js?v=1&amp;w=2#x' ></SCRIPT>`},
		{`<link rel="stylesheet" href=" style.css "><link rel=modulepreload href=/b.js>`, `<link rel="stylesheet" href="/@v1/style.css"><link rel=modulepreload href=/@v1/b.js>`},
		{`<link rel=manifest href="site.webmanifest"><link rel="shortcut icon" href="pic.png">`, `<link rel=manifest href="/@v1/site.webmanifest"><link rel="shortcut icon" href="/@v1/pic.png">`},
		{`<img src="a%20b.png"><img src="a b.png"><img src="./é.js">`, `<img src="/@v1/a%20b.png"><img src="/@v1/a%20b.png"><img src="/@v1/%C3%A9.js">`},
		{`<img srcset="pic.png 1x,pic@2x.png 2x, data:image/png;base64,AA== 3x">`, `<img srcset="/@v1/pic.png 1x,/@v1/pic@2x.png 2x, data:image/png;base64,AA== 3x">`},
		{`<source srcset='w,1.png 100w, missing.png 200w'>`, `<source srcset='/@v1/w,1.png 100w, missing.png 200w'>`},
		{`<link rel=preload as=image imagesrcset="pic.png 1x" href=pic.png>`, `<link rel=preload as=image imagesrcset="/@v1/pic.png 1x" href=/@v1/pic.png>`},
		{`<video poster=pic.png><object data=pic.png></object><embed src=pic.png><svg><use href="pic.png#a"/></svg>`, `<video poster=/@v1/pic.png><object data=/@v1/pic.png></object><embed src=/@v1/pic.png><svg><use href="/@v1/pic.png#a"/></svg>`},
		{`<style>@import "style.css";a{background:url( 'pic.png' )}@font-face{src:url(f.woff2)format("woff2")}</style>`, `<style>@import "/@v1/style.css";a{background:url( '/@v1/pic.png' )}@font-face{src:url(/@v1/f.woff2)format("woff2")}</style>`},
		{`<p style="background:url(&quot;pic.png&quot;)">`, `<p style="background:url(&#34;/@v1/pic.png&#34;)">`},
		{`<p style=background:url(pic.png)>`, `<p style=background:url(/@v1/pic.png)>`},
		{`<script type="module">import"./app.js";import x from"react";import("./b.js");new URL("lib/x.js",import.meta.url)</script>`, `<script type="module">import"/@v1/app.js";import x from"react";import("/@v1/b.js");new URL("/@v1/lib/x.js",import.meta.url)</script>`},
		{`<script>new Worker("app.js");const s="./b.js"; fetch("data.json")</script>`, `<script>new Worker("/@v1/app.js");const s="./b.js"; fetch("data.json")</script>`},
		{`<script type="application/json">{"a":"./app.js"}</script>`, ``},
		{`<script type="speculationrules">{"prefetch":[{"urls":["/app.js"]}]}</script>`, ``},
		{`<script>/* import("./app.js") */ "import('./app.js')"</script>`, ``},
		// What users follow, what others read, what leads elsewhere or nowhere.
		{`<a href="pic.png">x</a><form action="data.json"><link rel=canonical href="/"><meta property="og:image" content="/pic.png">`, ``},
		{`<iframe src="docs/index.html"></iframe><link rel=prefetch href="/docs/index.html">`, ``},
		{`<img src="https://x.org/pic.png"><img src="//x.org/pic.png"><img src="data:,x"><img src=missing.png><img src="">`, ``},
		{`<img src="/@v0/pic.png"><img src="/~aaaaaaaaaaaaaaaa/pic.png"><img src="/pic.png?dpl=v0">`, ``},
		{`<img src="{{root}}/pic.png"><img src="<%= x %>/pic.png">`, ``},
		{`<!-- <img src=pic.png> --><textarea><img src=pic.png></textarea><title><img src=pic.png></title>`, ``},
		{`<script src="app.js" integrity="sha384-x" crossorigin></script>`, `<script src="/@v1/app.js" integrity="sha384-x" crossorigin></script>`},
		{`<noscript><img src=pic.png></noscript>`, ``},
		{`<template><img src=pic.png></template>`, `<template><img src=/@v1/pic.png></template>`},
		{`<img src=pic.png src=b.js>`, `<img src=/@v1/pic.png src=b.js>`},
		{`<img src="pic.png`, ``},
		{`<img/src=pic.png/>`, ``},
		{"<img\nsrc\n=\npic.png\n>", "<img\nsrc\n=\n/@v1/pic.png\n>"},
		{``, ``},
	} {
		want := c.want
		if want == "" {
			want = c.text
		}
		got := page("", "index.html").Pin([]byte(c.text))
		if diff := cmp.Diff(want, string(got.Text)); diff != "" {
			t.Errorf("%s\n%s", c.text, diff)
		}
		if (got.References > 0) != (want != c.text) {
			t.Errorf("%s: %d references", c.text, got.References)
		}
	}
}

func TestPinResolves(t *testing.T) {
	for _, c := range []struct{ mount, path, text, want string }{
		{"", "docs/index.html", `<img src=c.js><img src=../pic.png><img src=/pic.png>`, `<img src=/@v1/docs/c.js><img src=/@v1/pic.png><img src=/@v1/pic.png>`},
		{"/shop", "index.html", `<img src=pic.png><img src=/shop/pic.png><img src=/pic.png>`, `<img src=/shop/@v1/pic.png><img src=/shop/@v1/pic.png><img src=/pic.png>`},
		{"", "docs/index.html", `<base href="/"><img src=pic.png><a href=c.js>`, `<base href="/"><img src=/@v1/pic.png><a href=c.js>`},
		{"", "docs/index.html", `<img src=c.js><base target=_top><base href="../lib/"><base href="/"><img src=x.js>`, `<img src=/@v1/docs/c.js><base target=_top><base href="../lib/"><base href="/"><img src=/@v1/lib/x.js>`},
		{"", "index.html", `<base href="https://cdn.example/"><img src=pic.png><img src=/pic.png>`, `<base href="https://cdn.example/"><img src=pic.png><img src=/pic.png>`},
	} {
		if got := string(page(c.mount, c.path).Pin([]byte(c.text)).Text); got != c.want {
			t.Errorf("%+v\n got %s", c, got)
		}
	}
}

func TestPinImportMap(t *testing.T) {
	for _, c := range []struct{ before, want string }{
		{
			`{"imports":{"app":"./app.js","x/":"/lib/","react":"https://x.org/r.js"}}`,
			`{"imports":{"app":"/@v1/app.js","react":"https://x.org/r.js","x/":"/@v1/lib/"}}`,
		},
		{ // modules that are pinned see what was said of their URLs
			`{"imports":{"./b.js":"./app.js"},"scopes":{"/lib/":{"y":"./b.js"}},"integrity":{"/b.js":"sha384-x"}}`,
			`{"imports":{"./b.js":"/@v1/app.js","/@v1/b.js":"/@v1/app.js"},"integrity":{"/@v1/b.js":"sha384-x","/b.js":"sha384-x"},` +
				`"scopes":{"/@v1/lib/":{"y":"/@v1/b.js"},"/lib/":{"y":"/@v1/b.js"}}}`,
		},
		{`{"imports":{"a":null,"b":"bare"},"other":{"x":1}}`, ``},
		{`{"imports":["./app.js"]}`, ``},
		{`no JSON`, ``},
		{`{"imports":{"a":"./app.js","<":"x"},"other":1}`, `{"imports":{"\u003c":"x","a":"/@v1/app.js"},"other":1}`},
	} {
		want := c.want
		if want == "" {
			want = c.before
		}
		const open, shut = `<script type="importmap">`, `</script>`
		got := string(page("", "index.html").Pin([]byte(open + c.before + shut)).Text)
		if diff := cmp.Diff(open+want+shut, got); diff != "" {
			t.Errorf("%s\n%s", c.before, diff)
		}
	}
}

func TestPinPolicy(t *testing.T) {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	const before, after, other = "\nimport './app.js'\n", "\nimport '/@v1/app.js'\n", "alert(1)"
	document := func(script string) string {
		return `<meta http-equiv="Content-Security-Policy" content="script-src 'self' ` + hash(script) + " " + hash(other) +
			`"><script type=module>` + script + `</script><script>` + other + `</script>`
	}
	got := page("", "index.html").Pin([]byte(document(before)))
	if diff := cmp.Diff(document(after), string(got.Text)); diff != "" || got.Inline != 1 {
		t.Errorf("%d inline; %s", got.Inline, diff)
	}
	crlf := strings.ReplaceAll(document(before), "\n", "\r\n") // a parser hashes what it read
	if got := page("", "index.html").Pin([]byte(crlf)); !bytes.Contains(got.Text, []byte(hash(after))) {
		t.Errorf("the policy lacks the hash of the new script: %s", got.Text)
	}
}

func TestSet(t *testing.T) {
	for value, want := range map[string]string{
		"a.png":                            "a.png",
		" a.png 1x , b.png 2x":             "a.png b.png",
		"a.png, b.png":                     "a.png b.png",
		"a.png,b.png":                      "a.png,b.png",
		"a.png 1x,b.png 2x,":               "a.png b.png",
		"data:image/png;base64,AA 1x,b 2x": "data:image/png;base64,AA b",
		"a.png type(a,b) 1x, b.png":        "a.png b.png",
		",,":                               "",
		"":                                 "",
	} {
		var got []string
		for _, ref := range Set(value) {
			got = append(got, ref.Value)
			if value[ref.Start:ref.End] != ref.Value {
				t.Errorf("%q: %q is not at %d", value, ref.Value, ref.Start)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// FuzzPin checks that the pinned page is the same page: the same tree apart from values
// of attributes that hold references and the texts of scripts and styles; and that
// nothing but references changes, each once.
func FuzzPin(f *testing.F) {
	for _, seed := range []string{
		`<!doctype html><base href=/docs/><script type=module>import"./c.js"</script><style>a{b:url(pic.png)}</style>`,
		`<img src=pic.png srcset="pic.png 1x,pic@2x.png 2x"><p style="b:url(&quot;pic.png&quot;)">`,
		`<script type=importmap>{"imports":{"a":"./app.js"}}</script><meta http-equiv=content-security-policy content="script-src 'sha256-x'">`,
		"<svg><style>a{b:url(pic.png)}</style><title><img src=pic.png></title></svg><math><mi/></math><img/src='pic.png",
		"<img =src=pic.png SRC\x00=pic.png\r\n src=pic.png/ >", "<plaintext><img src=pic.png>", "<script src=app.js/><img src=pic.png>",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		original := strings.Clone(text)
		p := page("", "index.html")
		got := p.Pin([]byte(text))
		if text != original {
			t.Fatal("the text was changed")
		}
		if got.References == 0 && string(got.Text) != text {
			t.Errorf("no reference, and other bytes: %q", got.Text)
		}
		checkEdits(t, p, text)
		if diff := cmp.Diff(shape(t, text), shape(t, string(got.Text))); diff != "" {
			t.Errorf("another tree: %s\n%q\n%q", diff, text, got.Text)
		}
		if again := p.Pin(got.Text); again.References > 0 {
			t.Errorf("pinned again: %q becomes %q", got.Text, again.Text)
		}
	})
}

// checkEdits checks that what is replaced, other than import maps and policies, are
// references to files of the release and nothing around them.
func checkEdits(t *testing.T, p Page, text string) {
	t.Helper()
	r := &rewriter{page: p, text: []byte(text)}
	r.read()
	end := 0
	for _, e := range r.edits {
		if e.start < end || e.end < e.start || e.end > len(text) {
			t.Fatalf("edits overlap, or lie outside: %+v", r.edits)
		}
		end = e.end
		if was := text[e.start:e.end]; strings.ContainsAny(was, "<>") && !strings.Contains(text, "importmap") && !strings.ContainsAny(was, "\"'") {
			t.Errorf("%q is no reference", was)
		}
		if !strings.Contains(e.with, p.Base) {
			t.Errorf("%q is not pinned", e.with)
		}
	}
}

// shape is the tree of a document without the values that may change.
func shape(t *testing.T, text string) (all []string) {
	t.Helper()
	root, err := nethtml.ParseWithOptions(strings.NewReader(text), nethtml.ParseOptionEnableScripting(true))
	if err != nil {
		return nil // too deep: nobody can show it
	}
	for n := range root.Descendants() {
		inside := n.Parent != nil && (n.Parent.Data == "script" || n.Parent.Data == "style")
		line := n.Data
		if n.Type == nethtml.TextNode && inside {
			line = "text"
		}
		for _, a := range n.Attr {
			line += " " + a.Key
		}
		all = append(all, line)
	}
	return all
}
