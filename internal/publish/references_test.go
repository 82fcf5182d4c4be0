package publish

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
)

func TestFindInJS(t *testing.T) {
	for _, c := range []struct {
		text     string
		refs     string // joined by spaces
		relative bool
	}{
		{`import"./a.js";import x from'../b.js';import{y as z}from"./c.js"`, "./a.js ../b.js ./c.js", true},
		{`export*from"./a.js";export{default}from"./b.js"`, "./a.js ./b.js", true},
		{"import('./a.js');import(`./b.js`).then(f);import('./c.json',{with:{type:'json'}})", "./a.js ./b.js ./c.json", true},
		{`import React from"react";import"https://x.org/a.js"`, "", false},
		{`import"/abs.js"`, "/abs.js", false},
		{`import(x)`, "", true},
		{"import(`./${x}.js`)", "", true},
		{`import("./a"+x)`, "", true},
		{`new URL("../w.wasm",import.meta.url)`, "../w.wasm", true},
		{`new URL("https://x.org/a",import.meta.url)`, "https://x.org/a", true},
		{`const u=import.meta.env`, "", true},
		{`new URL("a",location)`, "", false},
		{`document.currentScript.src`, "", true},
		{`importScripts("./a.js")`, "", true},
		{`const s='import "./a.js"';// import "./b.js"
/* import("./c.js") */`, "", false},
		{"`${a?`import './x.js'`:'}'}`;import'./real.js'", "./real.js", true},
		{`x.import("./a.js");y?.import(z)`, "", false},
		{`Array.from("./a.js")`, "", false},
		{`import"./a\u0062.js"`, "", true},
		{`a=b/c;d="/import('./x.js')/"`, "", false},
		{`if(x)/import"\.\/a"/.test(y);import"./b.js"`, "./b.js", true},
		{`function f(){}/'/.test(x);import("./b.js")`, "./b.js", true},
		{`a={}/2;b="'";import("./b.js")`, "./b.js", true},
		{`(a+b)/2;c='/';import("./b.js")`, "./b.js", true},
		{`return/["'/]/.test(x),import("./b.js")`, "./b.js", true},
		{`x=>/'/;import("./b.js")`, "./b.js", true},
		{`a.return/2;b='/';import("./b.js")`, "./b.js", true},
		{`i++/2;b='/';import("./b.js")`, "./b.js", true},
		{"\"never closed\nimport './a.js'", "", true},
		{`)]}}}`, "", false},
		{``, "", false},
	} {
		got := findInJS([]byte(c.text))
		if strings.Join(append(got.refs, got.maybe...), " ") != c.refs || got.relative != c.relative {
			t.Errorf("%s\n got %q, relative %v", c.text, got.refs, got.relative)
		}
	}
}

func TestFindInCSS(t *testing.T) {
	for _, c := range []struct {
		text     string
		refs     string
		relative bool
	}{
		{`a{b:url(x.png)}c{d:url( "y.png" )}e{f:url('../z.svg#g')}`, "x.png y.png ../z.svg#g", true},
		{`@import "a.css";@import url(b.css) screen;`, "a.css b.css", true},
		{`a{b:url(/abs.png)}`, "/abs.png", false},
		{`a{b:url(data:image/png;base64,AAAA)}c{d:url(#id)}e{f:url(https://x.org/y)}`, "data:image/png;base64,AAAA #id https://x.org/y", false},
		{`a{content:"x.png"}@charset "utf-8";`, "", false},
		{`a{background:image-set("a.png" 1x,url(b.png) 2x)}`, "a.png b.png", true},
		{`a{background:-webkit-image-set("a.png" type("image/png"))}`, "a.png", true},
		{`a{b:url(x\ y.png)}`, "", true},
		{`/* url(x.png) */`, "", false},
		{`a{b:url(`, "", false},
	} {
		got := findInCSS([]byte(c.text))
		if strings.Join(got.refs, " ") != c.refs || got.relative != c.relative {
			t.Errorf("%s\n got %q, relative %v", c.text, got.refs, got.relative)
		}
	}
}

func TestFindInHTML(t *testing.T) {
	for _, c := range []struct {
		text     string
		refs     string
		relative bool
	}{
		{`<script src=a.js></script><link rel="stylesheet" href='b.css'><img src="c.png" srcset="d.png 1x, e.png 2x">`, "a.js b.css c.png d.png e.png", true},
		{`<link rel="modulepreload" href="/a.js"><link rel="shortcut icon" href="/i.ico"><link rel=canonical href="/page">`, "/a.js /i.ico", false},
		{`<a href="other">x</a><form action="/send">`, "", true},
		{`<a href="/other">x</a><a href="#top">`, "", false},
		{`<A HREF="https://x.org/">x</A><SCRIPT SRC="/A.js"></SCRIPT>`, "/A.js", false},
		{`<video poster="p.jpg"><source src="v.mp4"><track src="t.vtt"></video><object data="o.svg"></object>`, "p.jpg v.mp4 t.vtt o.svg", true},
		{`<img src="a.png?x=1&amp;y=2">`, "a.png?x=1&y=2", true},
		{`<div data="x"></div><svg viewBox="0 0 1 1"><use href="s.svg#a"/></svg>`, "s.svg#a", true},
		{`<!-- <script src="a.js"></script> --><script>"<img src=b.png>"</script>`, "", false},
		{`<img src="data:image/png;base64,AAA=" srcset="data:x, a 1x">`, "data:image/png;base64,AAA= data:x a", true},
	} {
		got := findInHTML([]byte(c.text))
		slices.Sort(got.refs)
		want := strings.Fields(c.refs)
		slices.Sort(want)
		if diff := cmp.Diff(want, got.refs, cmp.Transformer("nil", func(s []string) []string { return append([]string{}, s...) })); diff != "" || got.relative != c.relative {
			t.Errorf("%s\n%s relative %v", c.text, diff, got.relative)
		}
	}
}

func TestFindInSVG(t *testing.T) {
	for text, want := range map[string]bool{
		`<svg><use href="#a"/><path fill="url(#g)"/></svg>`:                   false,
		`<svg><use xlink:href="b.svg#a"/></svg>`:                              true,
		`<svg><image href="a.png"/></svg>`:                                    true,
		`<svg><style>a{b:url(x.png)}</style></svg>`:                           true,
		`<svg><style>a{b:url( '#x' );c:url("data:image/png,")}</style></svg>`: false,
		`<?xml version="1.0"?><svg><image href="data:image/png,x"/></svg>`:    false,
		`<svg><path fill="url(`:                                               false,
	} {
		if got := findInSVG([]byte(text)); got.relative != want {
			t.Errorf("%s: relative %v", text, got.relative)
		}
	}
}

func TestResolve(t *testing.T) {
	for _, c := range []struct {
		mount, from, base, ref string
		want                   string // empty: leads elsewhere, or cannot be judged
	}{
		{"/", "index.html", "", "./a.js", "a.js"},
		{"/", "a/b.js", "", "../c.js?x=1#y", "c.js"},
		{"/", "a/b.js", "", "/c.js", "c.js"},
		{"/app", "a/b.js", "", "/c.js", ""},
		{"/app", "a/b.js", "", "/app/c.js", "c.js"},
		{"/app", "a/b.js", "", "../../c.js", ""},
		{"h.org/app", "b.js", "", "./c.js", "c.js"},
		{"/", "docs/index.html", "/", "a.js", "a.js"},
		{"/", "docs/index.html", "../x/", "a.js", "x/a.js"},
		{"/", "index.html", "https://cdn.org/", "a.js", ""},
		{"/", "index.html", "", "https://x.org/a.js", ""},
		{"/", "index.html", "", "//x.org/a.js", ""},
		{"/", "index.html", "", "data:text/css,a", ""},
		{"/", "index.html", "", "{{ base }}a.js", ""},
		{"/", "index.html", "", "<%= x %>/a.js", ""},
		{"/", "index.html", "", "a%20b.js", "a b.js"},
		{"/", "index.html", "", "a%zz.js", ""},
		{"/", "index.html", "", "dir/", ""},
		{"/", "index.html", "", "#top", ""},
		{"/", "index.html", "", "?q", ""},
		{"/", "index.html", "", ".git/x", ""},
		{"/", "index.html", "", "a\\b.js", ""},
	} {
		mount, err := holdfast.ParseMount(c.mount)
		if err != nil {
			t.Fatal(err)
		}
		got, inside := resolve(mount, c.from, c.base, c.ref)
		if inside != (c.want != "") || inside && got != c.want {
			t.Errorf("%+v: %q, %v", c, got, inside)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(`import{a}from"./b.js";a=/["'/]/;new URL("x",import.meta.url)`)
	f.Add("`${`${`import('./x.js')`}`}`//")
	f.Add(`@import "a.css";a{b:url( "y.png" ) image-set("c.png")}`)
	f.Add(`<base href=x><svg><use href="s.svg"/></svg><img srcset="a 1x, b"><?xml?><math></math>`)
	f.Add("<svg\x00><svg>")
	f.Fuzz(func(t *testing.T, text string) {
		for _, find := range []func([]byte) clues{findInJS, findInCSS, findInHTML, findInSVG} {
			original := strings.Clone(text)
			data := []byte(text)
			found := find(data)
			if string(data) != original {
				t.Error("the text was changed")
			}
			for _, ref := range found.refs {
				if isRelative(ref) && !found.relative {
					t.Errorf("refers to %q and is not relative", ref)
				}
				if p, inside := resolve(holdfast.Mount{}, "dir/page.html", found.base, ref); inside && holdfast.CheckPath(p) != nil {
					t.Errorf("%q resolves to the path %q", ref, p)
				}
			}
		}
	})
}

func FuzzBundlerManifest(f *testing.F) {
	f.Add(`{"a.js":{"file":"assets/a-8f14e45f.js","src":"a.js","css":["x.css"]}}`)
	f.Add(`{"files":{"main.js":"/static/js/main.8f14e45f.js"}}`)
	f.Add(`{"name":"App","icons":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		m := bundlerManifests{listed: map[string]bool{}}
		if m.vite([]byte(text)) == nil && m.webpack([]byte(text)) == nil && len(m.listed) > 0 {
			t.Errorf("evidence %v from what is no manifest", m.listed)
		}
	})
}
