package holdfast

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Names that count without other evidence, as each tool writes them, and their logical
// names.
func TestLogicalNamesStrong(t *testing.T) {
	for p, want := range map[string]string{
		"assets/index-CpM3riV6.js":                           "assets/index-*.js", // vite, rollup
		"assets/ja-JP-CYs2PP9e.js":                           "assets/ja-JP-*.js",
		"assets/index.DvYqF7hY.entry.js":                     "assets/index.*.entry.js",
		"assets/index-6324c612.js":                           "assets/index-*.js", // vite 2 to 4
		"assets/jszip.min-09eb3e99.js":                       "assets/jszip.min-*.js",
		"assets/bootstrap-5.esm-0e1737e0.js":                 "assets/bootstrap-5.esm-*.js",
		"assets/index-6324c612.js.map":                       "assets/index-*.js.map",
		"main.3f2a1b4c5d6e7f80.js":                           "main.*.js", // webpack, angular
		"runtime.0b1f2a3c4d5e6f70.js":                        "runtime.*.js",
		"3f2a1b4c5d6e7f803f2a1b4c5d6e7f80.png":               "*.png", // webpack asset module
		"static/js/main.3f2a1b4c.js":                         "static/js/main.*.js",
		"static/js/2.8d1cfb12.chunk.js":                      "static/js/2.*.chunk.js", // create-react-app
		"static/js/2.8d1cfb12.chunk.js.map":                  "static/js/2.*.chunk.js.map",
		"static/js/2.8d1cfb12.chunk.js.LICENSE.txt":          "static/js/2.*.chunk.js.LICENSE.txt",
		"static/media/logo.5d5d9eef9ac24f2f98a8.svg":         "static/media/logo.*.svg",
		"chunk-2QRV3YKH.js":                                  "chunk-*.js", // esbuild
		"build/_shared/chunk-X7ABC2QD.js":                    "build/_shared/chunk-*.js",
		"index.8a1f2b3c.css":                                 "index.*.css", // parcel
		"_next/static/chunks/framework-2898f16f1a.js":        "_next/static/chunks/framework-*.js",
		"_next/static/chunks/pages/_app-0a1b2c3d4e.js":       "_next/static/chunks/pages/_app-*.js",
		"_next/static/css/5dd0b6e1d1c4a7b2.css":              "_next/static/css/*.css",
		"_next/static/chunks/0d08b4ab5bbd8b1f.js":            "_next/static/chunks/*.js",
		"base.5af66c1b1797.css":                              "base.*.css",        // django
		"main.min." + strings.Repeat("4fe1", 16) + ".css":    "main.min.*.css",    // hugo
		"application-" + strings.Repeat("0a1b", 16) + ".css": "application-*.css", // sprockets
		"app-" + strings.Repeat("9c", 16) + ".css":           "app-*.css",         // phoenix
		"app-" + strings.Repeat("9c", 64) + ".css":           "app-*.css",         // SHA-512
		"fonts/fa-solid-900-31f099c1.ttf":                    "fonts/fa-solid-900-*.ttf",
		"js/app_8f14e45f.js":                                 "js/app_*.js",
		"img/a*b-8f14e45f.png":                               "img/a*b-*.png",
		"sw-KE-8f14e45f.js":                                  "sw-KE-*.js",
		"vendor-Xk3jP9qLm2Zt8Rv4Bw7N.js":                     "vendor-*.js",
	} {
		if got := LogicalNames([]string{p}, nil)[p]; got != want {
			t.Errorf("logical name of %q: %q, want %q", p, got, want)
		}
	}
}

func neverTokens() []string {
	return []string{
		"index.html", "index-8f14e45f.html", "page-8f14e45f.htm", "doc-8f14e45f.xhtml",
		"sw.js", "service-worker.js", "serviceworker.js", "firebase-messaging-sw.js", "ngsw-worker.js",
		"sw-8f14e45f.js", "service-worker.8f14e45f.js", "my-sw-CpM3riV6.js", "workbox-3e911b1d.js", "sw-B7O5-Ft7.js",
		"manifest.json", "manifest-8f14e45f.json", "site-8f14e45f.webmanifest", "app.webmanifest",
		"robots.txt", "robots-8f14e45f.txt", ".well-known/key-8f14e45f.txt", "a/.well-known/key-8f14e45f.txt",
		"lib-1.2.3.js", "lib-v20231105.js", "lib-20231105.js", "report-2023-11-05.pdf", "t-20231105T101010Z.log",
		"build-20231105a.js", "b1234567.js", "lib-b1234567.js", "image-1024x768.png", "favicon-32x32.png", "poster-1920x1080.jpg",
		"logo-OpenSans.woff2", "font-OpenSans600.woff2", "Windows10.svg", "icon-Windows10.svg", "doc-Version2.css", "css/x-bootstrap5.css",
		"user-settings.js", "admin-Settings.js", "x-userData.js", "x-HTMLPage.js", "x-JSONView.js", "x-I18nUtil.js", "x-iPhone14Pro.png",
		"x-Base64Url.js", "x-Sha256Sum.js", "x-Mp4Player.js", "x-Level2Cache1.js", "zh-TW-part2.js", "messages-pt-BR-v2.js", "sr-Latn-RS.json",
		"a-new-name.js", "1f468-200d-1f4bb.svg", "1f3f4-e0067-e0062.svg", "U1F600.svg", "photo-cafe2024.jpg", "cafe2024.jpg", "facade01.js",
		"123e4567-e89b-42d3-a456-426614174000.png", "file-123e4567-e89b-42d3-a456-426614174000.png",
		"file-123E4567-E89B-42D3-A456-426614174000.png", "123e4567e89b42d3a456426614174000.png",
		"swagger-ui-es-bundle-core.js", "swagger-ui-standalone-preset.js", "oauth2-redirect.js", "log.es-bundle-core-sizes.swagger-ui.txt",
		"jquery-3.7.1.min.js", "three.module.js", "polyfills-legacy.js", "a-8f14e45.js", "a-8f14e45f", "8f14e45f.js", "CpM3riV6.js",
		"photo(8f14e45f).jpg", "icon@8f14e45f.png", "a~8f14e45f.js", "46206196.js", "index-46206196.js", "", "/", ".js", "a/", "-.js",
		"x-" + strings.Repeat("a1", 65) + ".js", "x-" + strings.Repeat("Ab3", 11) + ".js", "größe-übergröße.css", "GPL-LICENSES.txt",
	}
}

func TestLogicalNamesNever(t *testing.T) {
	for _, p := range neverTokens() {
		if got := LogicalNames([]string{p}, nil); len(got) != 0 {
			t.Errorf("%q has the logical name %q", p, got[p])
		}
	}
}

// Names that LogicalNames can never call fingerprinted, with any siblings, must not be
// worth waiting for.
func TestLooksHashedRefuses(t *testing.T) {
	for _, p := range []string{
		"favicon.ico", "index.html", "sw.js", "assets/user-settings.js", "assets/x-OpenSans.woff2", "img/1024x768.png",
		"index-20231105.js", "wp-login.php", "zh-TW-part2.js", "manifest-8f14e45f.json", "service-worker.8f14e45f.js",
	} {
		if LooksHashed(p) {
			t.Errorf("%q looks hashed", p)
		}
	}
}

func TestIsPolled(t *testing.T) {
	for p, want := range map[string]bool{
		"index.html": true, "a/INDEX.HTML": true, "sw.js": true, "js/sw.min.js": true, "my-sw-CpM3riV6.js": true, "sw.js.map": true,
		"service-worker.js": true, "service_worker.mjs": true, "workbox-3e911b1d.js": true, "ngsw-worker.js": true,
		"_app/version.json": true, "version.json": true, "VERSION.txt": true, "_nuxt/builds/latest.json": true, "ngsw.json": true,
		"safety-worker.js": true, "asset-manifest.json": true, "service-worker-assets.js": true, "OneSignalSDKWorker.js": true, "hashmap.json": true,
		"page-data/app-data.json": true, "flutter_service_worker.js": true, "meta.json": true,
		"data/latest.json": false, "app-data.json": false, "conversion.json": false, "version.js": false, "subversion.json": false,
		"manifest.json": true, "manifest-8f14e45f.json": true, "app.webmanifest": true, "robots.txt": true, ".well-known/a.css": true,
		"app.js": false, "sw.css": false, "answer.js": false, "sw-KE-8f14e45f.js": false, "data.json": false, "worker.js": false, "": false,
	} {
		if got := IsPolled(p); got != want {
			t.Errorf("IsPolled(%q) = %v", p, got)
		}
	}
}

func TestWeakTokensNeedSiblings(t *testing.T) {
	agree := []string{"a/index-CpM3riV6.js", "a/ar-CNgi5cC3.js", "a/be-AzaN6c5K.js"}
	for _, c := range []struct {
		name     string
		siblings []string
		path     string
		want     string
	}{
		{"agreeing", agree, "a/elm-XatLifHL.js", "a/elm-*.js"},
		{"dash in the token", agree, "a/th-TH-B7O5-Ft7.js", "a/th-TH-*.js"},
		{"underscore in the token", agree, "a/ka-GE-y3_CnkOS.js", "a/ka-GE-*.js"},
		{"underscore at its end", agree, "a/x-lcAfaSp_.js", "a/x-*.js"},
		{"after a dot", agree, "a/pinia.CVv-Vm4_.entry.js", "a/pinia.*.entry.js"},
		{"two siblings, a word in the token", agree[:2], "a/x-jQueryUI.js", ""},
		{"one sibling", agree[:1], "a/th-TH-B7O5-Ft7.js", "a/th-TH-*.js"},
		{"another directory", agree, "b/th-TH-B7O5-Ft7.js", ""},
		{"words among siblings", agree, "a/x-OpenSans.woff2", ""},
		{"a number after a word among siblings", agree, "a/x-Windows10.svg", ""},
		{"a language among siblings", agree, "a/zh-TW-part2.js", ""},
		{"a whole stem among others", agree, "a/elMXat_L.js", ""},
		{"too many words", append(words("a", 10), agree...), "a/th-TH-B7O5-Ft7.js", ""},
		{"some words", append(words("a", 8), agree...), "a/th-TH-B7O5-Ft7.js", "a/th-TH-*.js"},
		{"few digits in hexadecimal", []string{"a-8f14e45f.js", "b-0e1737e0.js", "c-09eb3e99.js"}, "d-abcdefa1.js", "d-*.js"},
		{"another length", []string{"a-8f14e45f.js", "b-0e1737e0.js", "c-09eb3e99.js"}, "d-abcdefa123.js", ""},
		{"base32 without a digit", []string{"c-2QRV3YKH.js", "c-X7ABC2QD.js", "c-Q5LMN6AB.js"}, "c-QRVXYKHA.js", "c-*.js"},
		{"whole stems", []string{"_nuxt/CpM3riV6.js", "_nuxt/B7O5xFt7.js", "_nuxt/AzaN6c5K.js"}, "_nuxt/D_pLAUpH.js", "_nuxt/*.js"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := LogicalNames(append([]string{c.path}, c.siblings...), nil)[c.path]
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if c.want != "" && !LooksHashed(c.path) {
				t.Error("does not look hashed")
			}
		})
	}
}

// words are file names that have the form, but not the look, of base64url tokens.
func words(dir string, n int) (paths []string) {
	for i := range n {
		paths = append(paths, dir+"/"+string(rune('a'+i))+"-settings.js")
	}
	return paths
}

func TestBundlerManifestDecides(t *testing.T) {
	paths := []string{"a/x-B7O5-Ft7.js", "a/photo-8f14e45f.jpg", "a/y-OpenSans.woff2", "a/CpM3riV6.js", "a/z-8f14e45f.js"}
	listed := map[string]bool{"a/x-B7O5-Ft7.js": true, "a/photo-8f14e45f.jpg": false, "a/y-OpenSans.woff2": true, "a/CpM3riV6.js": true}
	want := map[string]string{"a/x-B7O5-Ft7.js": "a/x-*.js", "a/CpM3riV6.js": "a/*.js", "a/z-8f14e45f.js": "a/z-*.js"}
	if diff := cmp.Diff(want, LogicalNames(paths, listed)); diff != "" {
		t.Error(diff)
	}
}

func TestLooksHashedDoesNotAllocate(t *testing.T) {
	paths := append(neverTokens(), "_next/static/chunks/0od.e4.nsryo4.js", "_next/static/media/e4af272ccee01ff0-s.p.woff2", "_astro/hero.DXfR4jGT_Z1wnBpk.webp", "img/AbCd3fGhIj-600.webp", "assets/index-CpM3riV6.js", "assets/th-TH-B7O5-Ft7.js", "static/js/2.8d1cfb12.chunk.js")
	n := testing.AllocsPerRun(10, func() {
		for _, p := range paths {
			LooksHashed(p)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzLogicalNames(f *testing.F) {
	f.Add("a/x-B7O5-Ft7.js\na/index-CpM3riV6.js", true)
	f.Add("00.png\n_astro/a.00000000_0.webp\n_next/static/media/0-s.p.woff2\n_next/static/chunks/0od.e4.nsryo4.js", true)
	f.Add("chunk-2QRV3YKH.js\n*-8f14e45f.js", false)
	f.Add(strings.Join(neverTokens(), "\n"), true)
	f.Fuzz(func(t *testing.T, text string, confirm bool) {
		paths := strings.Split(text, "\n")
		listed := make(map[string]bool)
		for i, p := range paths {
			if i%2 == 0 {
				listed[p] = confirm
			}
		}
		names := LogicalNames(paths, listed)
		for _, p := range slices.Sorted(maps.Keys(names)) {
			checkLogical(t, p, names[p])
		}
	})
}

func checkLogical(t *testing.T, p, logical string) {
	t.Helper()
	if !LooksHashed(p) {
		t.Errorf("%q is fingerprinted and does not look hashed", p)
	}
	if strings.Count(logical, "*") != strings.Count(p, "*")+1 {
		t.Errorf("logical name %q of %q has not one more star", logical, p)
	}
	if len(p)-len(logical)+1 < minToken || path.Dir(p) != path.Dir(logical) {
		t.Errorf("logical name %q of %q hides less than a token, or more than the file name", logical, p)
	}
}
