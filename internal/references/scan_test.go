package references

import (
	"slices"
	"strings"
	"testing"
)

func TestScriptPaths(t *testing.T) {
	for text, want := range map[string]string{
		`const a="/pic.png",b="/x/",c="//x.org/y.js",d="/a b.c",e="\x2fa.js"`: "/pic.png",
		`import"/b.js";fetch('/data.json')`:                                   "/b.js /data.json",
		"const a=`/pic.png`":                                                  "/pic.png",
		`__webpack_require__.p="/shop/";a.p="auto"`:                           "prefix /shop/",
		`const E=function(e){return"/"+e}`:                                    "prefix /",
		`const E=e=>"/app/"+e`:                                                "prefix /app/",
		`new Worker("w.js");new SharedWorker('/s.js');new Other("x.js")`:      "/s.js worker w.js worker /s.js",
		`new Worker(new URL("w.js",import.meta.url))`:                         "",
	} {
		found, got := Script([]byte(text)), []string{}
		for _, ref := range found.Paths {
			got = append(got, ref.Value)
		}
		for _, ref := range found.Prefixes {
			got = append(got, "prefix "+ref.Value)
		}
		for _, ref := range found.Workers {
			got = append(got, "worker "+ref.Value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzScan checks that references stand where they are said to.
func FuzzScan(f *testing.F) {
	f.Add(`import{a}from"./b.js";a=/["'/]/;new URL("x",import.meta.url);return"/"+b;new Worker("w.js")`)
	f.Add("`${`${`import('./x.js')`}`}`//<!--\n/*")
	f.Add(`@import "a.css";a{b:url( "y.png" ) image-set("c.png")}/**/@media{c:url(`)
	f.Fuzz(func(t *testing.T, text string) {
		refs, _ := CSS([]byte(text))
		s := Script([]byte(text))
		for _, ref := range slices.Concat(refs, s.Imports, s.URLs, s.Workers, s.Paths, s.Prefixes) {
			if ref.Start < 0 || ref.End > len(text) || ref.Start > ref.End || text[ref.Start:ref.End] != ref.Value {
				t.Errorf("%+v is not there", ref)
			}
		}
	})
}
