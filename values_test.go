package holdfast

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const someHex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func digest(t testing.TB, s string) Digest {
	t.Helper()
	d, err := ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDigest(t *testing.T) {
	d := DigestOf(nil)
	if d.String() != someHex || digest(t, someHex) != d || d.Short() != someHex[:12] {
		t.Errorf("%s", d)
	}
	for _, bad := range []string{"", someHex[1:], someHex + "0", strings.ToUpper(someHex), someHex[:63] + "g", " " + someHex[1:]} {
		if _, err := ParseDigest(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseDigest(%q): %v", bad, err)
		}
	}
	for prefix, want := range map[string]bool{"": true, "e": true, "e3b0c44298fc1c14": true, someHex: true, "e4": false, "E3": false, someHex + "0": false} {
		if d.HasPrefix(prefix) != want {
			t.Errorf("HasPrefix(%q) is not %v", prefix, want)
		}
	}
	if id := d.AutoID().String(); id != "4oymiquy7qob" || !IsName(id) { // RFC 4648 of the bytes above
		t.Errorf("AutoID %s", id)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "main": true, "1.2.3": true, "v1_2-rc.1": true, "A": true, strings.Repeat("x", 64): true,
		"": false, "null": false, "auto": false, ".a": false, "-a": false, "_a": false, "a b": false, "a/b": false,
		"ä": false, "a\n": false, strings.Repeat("x", 65): false, "Null": true, "automatic": true,
	} {
		if IsName(name) != want {
			t.Errorf("IsName(%q) is not %v", name, want)
		}
		app, err1 := ParseAppName(name)
		side, err2 := ParseSide(name)
		id, err3 := ParseReleaseID(name)
		for _, err := range []error{err1, err2, err3} {
			if (err == nil) != want || err != nil && !errors.Is(err, ErrInvalid) {
				t.Errorf("parse %q: %v", name, err)
			}
		}
		if want && (app.String() != name || side.String() != name || id.String() != name) {
			t.Errorf("%q does not come back", name)
		}
		if !want && (!app.IsZero() || !side.IsZero() || !id.IsZero()) {
			t.Errorf("%q: an invalid value exists", name)
		}
	}
}

func TestNamesInJSON(t *testing.T) {
	type all struct {
		App  AppName
		Side Side
		ID   ReleaseID
		By   map[Side]ReleaseID
	}
	in := all{DefaultApp(), DefaultSide(), DigestOf(nil).AutoID(), map[Side]ReleaseID{DefaultSide(): {"v1"}}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out all
	if err := json.Unmarshal(text, &out); err != nil || out.ID != in.ID || out.By[DefaultSide()].String() != "v1" {
		t.Errorf("%s became %v, %v", text, out, err)
	}
	if err := json.Unmarshal([]byte(`{"ID":"../etc"}`), &out); !errors.Is(err, ErrInvalid) {
		t.Errorf("a bad ID: %v", err)
	}
}

func TestCheckPath(t *testing.T) {
	for path, want := range map[string]bool{
		"index.html": true, "a/b/c.js": true, "ünï/cödé.js": true, "with space.txt": true, "a#b?c%20.js": true, "~user/x": true,
		"@": true, "@ /x": true, "@null/x": true, "x/@v1/y": true, "~abc/x": true, "~client.js.map": true, "~client/x": true,
		"": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "a/../b": false, "a/./b": false,
		"a\\b": false, "a\tb": false, "a\nb": false, "a\x00b": false, "a\x7fb": false, "\xff": false, "a\xc0\xafb": false,
		"@v1/x": false, "@v1": false, "~0123abcd/x": false, "~client.js": false, "~" + someHex + "/x": false, "~" + someHex + "0/x": true,
		strings.Repeat("x", 255): true, strings.Repeat("x", 256): false, strings.Repeat("x/", 512) + "x": false,
	} {
		if err := CheckPath(path); (err == nil) != want || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("CheckPath(%q): %v", path, err)
		}
	}
}

func TestMount(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "/a": "/a", "/a/": "/a", "/a/b": "/a/b", "Shop.Example.com/": "shop.example.com/", "h/x": "h/x", "/ü": "/ü",
		"": "", "a": "", "//": "", "/a//b": "", "/../x": "", "a b/": "", "h:80/": "", "/a?b": "", "/a%20b": "", "-h/": "", "h./": "", "/@v1": "",
	} {
		m, err := ParseMount(text)
		if (err == nil) != (want != "") || err == nil && m.String() != want || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseMount(%q): %q, %v", text, m, err)
		}
	}
}

func TestShadows(t *testing.T) {
	for _, test := range []struct {
		inner, outer, rest string
		shadowed           bool
	}{
		{"/a", "/", "a", true},
		{"/a/b", "/a", "b", true},
		{"/", "/a", "", false},
		{"/ab", "/a", "", false},
		{"/a", "/a", "", false},
		{"h/", "/", "", true},
		{"h/a", "/", "a", true},
		{"/a", "h/", "", false},
		{"h/a", "h/", "a", true},
		{"g/a", "h/", "", false},
	} {
		inner, outer := mount(t, test.inner), mount(t, test.outer)
		if rest, ok := inner.Shadows(outer); rest != test.rest || ok != test.shadowed {
			t.Errorf("%s over %s: %q, %v", inner, outer, rest, ok)
		}
	}
}

func mount(t *testing.T, s string) Mount {
	t.Helper()
	m, err := ParseMount(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSettings(t *testing.T) {
	app := AppName{"shop"}
	for _, test := range []struct{ key, value, want string }{
		{"mount", "/x/", "/x"},
		{"spa", "on", "on"},
		{"spa", "yes", ""},
		{"preview", "off", "off"},
		{"sourcemaps", "public", "public"},
		{"sourcemaps", "maybe", ""},
		{"immutable", " /a/* , b/**", "a/*,b/**"},
		{"immutable", "", ""},
		{"pinned", "/static/{release}/{path}", "/static/{release}/{path}"},
		{"pinned", "/{release}/s/{path}", "/{release}/s/{path}"},
		{"pinned", "/@x/{release}/{path}", ""},
		{"pinned", "/a//{release}/{path}", ""},
		{"pinned", "/../{release}/{path}", ""},
		{"pinned", "/static/{path}", ""},
		{"pinned", "static/{release}/{path}", ""},
		{"pinned", "/s/{release}/{path}x", ""},
		{"pinned", "/s/{release}/x{path}", ""},
		{"keep", "0", "0"},
		{"keep", "-1", ""},
		{"keep", "many", ""},
		{"grace", "7d", "7d"},
		{"grace", "90m", "90m"},
		{"grace", "-1h", ""},
		{"idle", "soon", ""},
		{"cors", "https://a.example", "https://a.example"},
		{"cors", "a.example", ""},
		{"cors", "https://a, https://b", ""},
		{"corp", "same-site", "same-site"},
		{"corp", "any", ""},
		{"timing", "off", "off"},
		{"hooks", "purge, tell,,purge", "purge,tell"},
		{"hooks", "../purge", ""},
		{"hooks", "a,b,c,d,e,f,g,h,i", ""},
		{"colour", "red", ""},
	} {
		s := DefaultSettings(app)
		err := s.Set(test.key, test.value)
		if test.want == "" && test.value != "" {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.key) {
				t.Errorf("%s=%s: %v", test.key, test.value, err)
			}
			continue
		}
		if err != nil || valueOf(&s, test.key) != test.want {
			t.Errorf("%s=%s became %q, %v", test.key, test.value, valueOf(&s, test.key), err)
		}
	}
}

func valueOf(s *Settings, key string) string {
	for _, item := range s.List() {
		if item.Key == key {
			return item.Value
		}
	}
	return "no such key"
}

func TestSettingsText(t *testing.T) {
	app := AppName{"shop"}
	s := DefaultSettings(app)
	if text, err := s.Encode(app); err != nil || string(text) != "{}" || s.Mount.String() != "/shop" {
		t.Errorf("defaults: %s, %v, mount %s", text, err, s.Mount)
	}
	for _, kv := range [][2]string{{"spa", "on"}, {"grace", "36h"}, {"immutable", "a/*"}, {"unpinned", ""}, {"mutable", "b/*,c.js"}, {"hooks", "purge,tell"}} {
		if err := s.Set(kv[0], kv[1]); err != nil {
			t.Fatal(err)
		}
	}
	text, err := s.Encode(app)
	if err != nil {
		t.Fatal(err)
	}
	back, err := DecodeSettings(app, text)
	if err != nil || cmp.Diff(s.List(), back.List()) != "" {
		t.Errorf("%s: %v %s", text, err, cmp.Diff(s.List(), back.List()))
	}
	if err := s.Set("immutable", "b/*"); err != nil {
		t.Fatal(err)
	}
	if text, err = s.Encode(app); err != nil {
		t.Fatal(err)
	}
	if back, err = DecodeSettings(app, text); err != nil || cmp.Diff([]string{"a/*"}, back.Formerly) != "" {
		t.Errorf("the globs of before are lost: %s, %v", text, err)
	}
	newer, err := DecodeSettings(app, []byte(`{"spa":"on","deltas":"shared"}`))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = newer.Encode(app); err != nil || !strings.Contains(string(text), `"deltas":"shared"`) {
		t.Errorf("what a newer version set is lost: %s, %v", text, err)
	}
	for _, bad := range []string{`[]`, `{"spa":1}`, `{"spa":"maybe"}`, `{`} {
		if _, err := DecodeSettings(app, []byte(bad)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestState(t *testing.T) {
	for s := Published; s <= Gone; s++ {
		text, _ := s.MarshalText()
		var back State
		if err := back.UnmarshalText(text); err != nil || back != s || s.Servable() != (s < Retired) {
			t.Errorf("%s: %v, %v", text, back, err)
		}
	}
	var s State
	if err := s.UnmarshalText([]byte("undead")); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}

func TestReleaseJSON(t *testing.T) {
	r := Release{
		App: DefaultApp(), ID: ReleaseID{"v1"}, Manifest: DigestOf([]byte("m")), Inventory: DigestOf([]byte("i")),
		Published: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Files: 2, Bytes: 3, Clashes: []string{"a"},
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Release
	if err := json.Unmarshal(text, &back); err != nil || !bytes.Equal(mustJSON(t, back), text) {
		t.Errorf("%s became %+v, %v", text, back, err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A pinned path of an app's own shape parses back to its release and file.
func TestPinnedPath(t *testing.T) {
	v1, err := ParseReleaseID("v1")
	if err != nil {
		t.Fatal(err)
	}
	for shape, want := range map[string]string{
		"":                               "@v1/a/{release}/b.js",
		"/static/{release}/{path}":       "static/v1/a/{release}/b.js",
		"/{release}/_next/static/{path}": "v1/_next/static/a/{release}/b.js",
	} {
		s := Settings{Pinned: shape}
		path := s.PinnedPath(v1, "a/{release}/b.js")
		if path != want {
			t.Errorf("%s: %s, want %s", shape, path, want)
		}
		id, below, ok := s.CutPinned(path)
		if own := shape != ""; ok != own || own && (id != "v1" || below != "a/{release}/b.js") {
			t.Errorf("%s is taken apart as %q, %q, %v", path, id, below, ok)
		}
	}
	s := Settings{Pinned: "/static/{release}/x/{path}"}
	for _, path := range []string{"", "static", "static/v1", "static/v1/", "static/v1/y/a.js", "static/null/x/a.js", "other/v1/x/a.js"} {
		if id, below, ok := s.CutPinned(path); ok {
			t.Errorf("%s is taken apart as %q, %q", path, id, below)
		}
	}
}
