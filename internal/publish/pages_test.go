package publish

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// pageSite has three documents, of which one refers to nothing.
func pageSite() map[string]string {
	return map[string]string{
		"index.html":         `<!doctype html><link rel=manifest href=site.webmanifest><script src=app.js></script><a href=about.html>x</a>` + strings.Repeat("text ", 100),
		"docs/index.html":    `<!doctype html><link rel=stylesheet href=../style.css><script>navigator.serviceWorker.register("/sw.js")</script><img src=/_app/version.json>`,
		"about.html":         `<!doctype html><a href="/">home</a>`,
		"app.js":             holdtest.Script("1"),
		"style.css":          "a{}",
		"sw.js":              "//",
		"_app/version.json":  "{}",
		"site.webmanifest":   `{"start_url":"/","icons":[{"src":"icon.png"}]}`,
		"other.webmanifest":  `{"start_url":"."}`,
		"frame/index.html":   `<!doctype html><link rel=manifest href=../other.webmanifest><script type=module>new Worker("/sw.js")</script>`,
		"strict/index.xhtml": `<script src="../app.js"/>`,
	}
}

func pinning(id string, settings ...string) Options {
	o := options(id)
	for _, s := range append([]string{"documents=pinned"}, settings...) {
		key, value, _ := strings.Cut(s, "=")
		if err := o.Settings.Set(key, value); err != nil {
			panic(err)
		}
	}
	return o
}

// variants returns the pinned variants of a release by path, read back in every form.
func (w *world) variants(r holdfast.Release) map[string]string {
	w.T.Helper()
	all := make(map[string]string)
	inv, err := w.Store.Inventory(w.T.Context(), r.Inventory)
	if err != nil {
		w.T.Fatal(err)
	}
	object, ok := inv.Pages(r.Pages)
	if !ok {
		return all
	}
	pages, err := w.Store.Pages(w.T.Context(), object)
	if err != nil {
		w.T.Fatal(err)
	}
	for _, v := range pages.Variants() {
		text := w.content(inv.Of(v.Digest)[0])
		all[v.Path] = text
		for _, o := range inv.Of(v.Digest) {
			w.Check(w.VerifyForm(o, text))
		}
	}
	return all
}

func (w *world) content(o holdfast.Object) string {
	w.T.Helper()
	r, err := w.Store.OpenObject(w.T.Context(), o.Name, 0, -1)
	if err != nil {
		w.T.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		w.T.Fatal(err)
	}
	return string(text)
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	files := pageSite()
	r := w.mustPublish(files, pinning("one"))
	want := map[string]string{
		"index.html":      strings.NewReplacer("href=site", "href=/@one/site", "src=app", "src=/@one/app").Replace(files["index.html"]),
		"docs/index.html": strings.Replace(files["docs/index.html"], "../style.css", "/@one/style.css", 1),
	}
	if diff := cmp.Diff(want, w.variants(r.Release)); diff != "" {
		t.Error(diff)
	}
	w.checkNothingElse(r.Release)
	if w.forms(r.Release, want["index.html"])[1].Coding != holdfast.Brotli {
		t.Error("the variant has no encoded form")
	}
	calls := w.encoder.calls.Load()
	again := w.mustPublish(files, pinning("one"))
	if !again.Unchanged || again.Mended || again.Uploaded != 0 || again.Release.Inventory != r.Release.Inventory || w.encoder.calls.Load() != calls {
		t.Errorf("published again: %+v", again)
	}
	other := w.mustPublish(files, pinning("two"))
	if got := w.variants(other.Release)["index.html"]; !strings.Contains(got, "src=/@two/app.js") {
		t.Errorf("of another release: %s", got)
	}
	if plain := w.mustPublish(files, options("three")); !plain.Release.Pages.IsZero() || len(w.variants(plain.Release)) > 0 {
		t.Error("documents=auto makes variants for an app whose releases are published")
	}
}

// The mount and the wish for variants may change: publishing the same build again
// follows.
func TestPagesFollowSettings(t *testing.T) {
	w := newWorld(t)
	files := pageSite()
	one := w.mustPublish(files, options("one"))
	for _, c := range []struct {
		settings string
		want     string
	}{
		{"mount=/shop", "src=/shop/@one/app.js"},
		{"mount=/a b", "src=/a%20b/@one/app.js"},
		{"mount=www.example.com/", "src=/@one/app.js"},
		{"pinned=/static/{release}/{path}", "src=/@one/app.js"},
		{"documents=plain", ""},
	} {
		r := w.mustPublish(files, pinning("one", c.settings))
		if got := w.variants(r.Release)["index.html"]; !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q", c.settings, got)
		}
		if !r.Unchanged || r.Release.Manifest != one.Release.Manifest || !r.Release.Published.Equal(one.Release.Published) {
			t.Errorf("%s: %+v", c.settings, r)
		}
		stored, err := w.Registry.Releases(t.Context(), holdfast.DefaultApp())
		if err != nil || stored[0].Inventory != r.Release.Inventory || stored[0].Pages != r.Release.Pages {
			t.Errorf("%s: the registry has %+v, %v", c.settings, stored[0].Release, err)
		}
	}
}

// Lost variants come back by publishing again and by repair, under the same names.
func TestPagesAreMended(t *testing.T) {
	for name, lost := range map[string]func(w *world, r holdfast.Release) holdfast.Object{
		"the list": func(w *world, r holdfast.Release) holdfast.Object { return w.listOf(r) },
		"a variant": func(w *world, r holdfast.Release) holdfast.Object {
			return w.forms(r, w.variants(r)["index.html"])[0]
		},
	} {
		for _, repair := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, repair %v", name, repair), func(t *testing.T) {
				w := newWorld(t)
				one := w.mustPublish(pageSite(), pinning("one")).Release
				before := w.variants(one)
				w.lose(key(lost(w, one).Name))
				var r *Result
				if repair {
					info := registry.ReleaseInfo{Release: one}
					var err error
					if r, err = NewRepairer(w.deps(), w.Store, nil).Repair(t.Context(), &info, nil, pinning("one")); err != nil {
						t.Fatal(err)
					}
				} else {
					r = w.mustPublish(pageSite(), pinning("one"))
				}
				if !r.Mended || r.Release.Inventory != one.Inventory || r.Release.Pages != one.Pages {
					t.Errorf("%+v", r)
				}
				if diff := cmp.Diff(before, w.variants(r.Release)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func (w *world) listOf(r holdfast.Release) holdfast.Object {
	w.T.Helper()
	inv, err := w.Store.Inventory(w.T.Context(), r.Inventory)
	if err != nil {
		w.T.Fatal(err)
	}
	o, ok := inv.Pages(r.Pages)
	if !ok {
		w.T.Fatal("the release has no list of pages")
	}
	return o
}

// A list that another version of the program made is kept as long as its variants are
// there; if one is lost, all are made again.
func TestPagesOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	files := pageSite()
	one := w.mustPublish(files, pinning("one")).Release
	inv, err := w.Store.Inventory(t.Context(), one.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	// As if that version had written the page of "docs" differently.
	strange := "<!doctype html>written otherwise"
	name := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(strange))}
	put := func(name holdfast.ObjectName, text []byte) {
		if _, err := w.Store.PutObject(t.Context(), name, int64(len(text)), strings.NewReader(string(text))); err != nil {
			t.Fatal(err)
		}
	}
	put(name, []byte(strange))
	list, err := holdfast.NewPages("/@one/", []holdfast.File{{Path: "docs/index.html", Logical: "docs/index.html", Digest: name.Digest, Size: int64(len(strange)), MediaType: "text/html; charset=utf-8"}})
	if err != nil {
		t.Fatal(err)
	}
	put(holdfast.ObjectName{Digest: list.Digest()}, list.Bytes())
	moved, err := holdfast.NewInventory(append(inv.Objects(),
		holdfast.Object{Digest: name.Digest, Name: name, Size: int64(len(strange))},
		holdfast.Object{Digest: list.Digest(), Name: holdfast.ObjectName{Digest: list.Digest()}, Size: int64(len(list.Bytes()))}))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Store.PutInventory(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	lease, err := w.Registry.BeginPublish(t.Context(), one.App, one.Manifest, false)
	if err != nil {
		t.Fatal(err)
	}
	before := one
	one.Inventory, one.Pages = moved.Digest(), list.Digest()
	if _, err := w.Registry.ReplaceInventory(t.Context(), lease, one, before.Inventory, nil); err != nil {
		t.Fatal(err)
	}
	if r := w.mustPublish(files, pinning("one")); r.Mended || r.Release.Pages != list.Digest() {
		t.Errorf("the list was not kept: %+v", r)
	}
	w.lose(key(name))
	r := w.mustPublish(files, pinning("one"))
	if got := w.variants(r.Release); !r.Mended || r.Release.Pages != before.Pages || len(got) != 2 {
		t.Errorf("%+v, %q", r, got)
	}
}

// A release that is gone comes back with its variants, by either way.
func TestPagesComeBack(t *testing.T) {
	for _, undelete := range []bool{false, true} {
		w := newWorld(t)
		one := w.mustPublish(pageSite(), pinning("one")).Release
		want := w.variants(one)
		if err := errors.Join(w.Registry.Retire(t.Context(), one.App, one.ID, registry.RetireOptions{}), holdtest.MarkGone(t.Context(), w.Registry, one.App, one.ID)); err != nil {
			t.Fatal(err)
		}
		var r *Result
		if undelete {
			var err error
			if r, err = Undelete(t.Context(), w.deps(), w.Store, pinning("one")); err != nil {
				t.Fatal(err)
			}
		} else {
			r = w.mustPublish(pageSite(), pinning("one"))
		}
		if diff := cmp.Diff(want, w.variants(r.Release)); diff != "" || r.Outcome != registry.Restored {
			t.Errorf("undelete %v: %v %s", undelete, r.Outcome, diff)
		}
	}
}
