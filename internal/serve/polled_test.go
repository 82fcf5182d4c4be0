package serve

import (
	"fmt"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

// notices is an app whose pages poll for news: the files that each tool writes for that,
// in a release that is live, one draining, one retired and one never live.
func notices(settings ...string) site {
	s := shop(settings...)
	for i := range s.releases {
		r := &s.releases[i]
		for _, p := range []string{"_app/version.json", "_nuxt/builds/latest.json", "ngsw.json", "ngsw-worker.js", "sw.js", "app.webmanifest", "version.json", "config.json"} {
			r.files[p] = r.id + " " + p
		}
	}
	for _, r := range s.releases {
		if r.id == "live" {
			delete(r.files, "config.json")
		}
	}
	return s
}

// A file that is the same for every release can be answered when the release is unknown.
func TestQueriesOfOthers(t *testing.T) {
	x := hexOf("old app")
	decisions(t, "main", []decision{
		// A release of that ID may come, and have other bytes there in spite of the clash.
		{"/" + hashed + "?dpl=nobody", nil, `200 "main" checked id=live wait default/@nobody`},
		{"/" + hashed + "?dpl=nobody", waited, `200 "main" checked id=live`},
		{"/" + hashed + "?dpl=undefined", waited, `200 "main" checked id=live`},
		{"/" + hashed + "?dpl=nobody", func(r *Request) { r.Waited, r.IfNoneMatch = true, `"`+hexOf("main")[:32]+`"` }, `304 checked id=live`},

		// No release ever has these.
		{"/" + hashed + "?dpl=", nil, `200 "main" forever`},
		{"/" + hashed + "?dpl", nil, `200 "main" forever`},
		{"/" + hashed + "?dpl=a/b", nil, `200 "main" forever`},
		{"/" + hashed + "?dpl=null", nil, `200 "main" forever`},
		{"/" + hashed + "?dpl=a&dpl=b", nil, `200 "main" forever`},

		// The name proves nothing, or the release is known.
		{"/" + clashed + "?dpl=nobody", waited, "404"},
		{"/" + clashed + "?dpl=", nil, "404"},
		{"/app.js?dpl=undefined", waited, "404"},
		{"/app.js?dpl=undefined", nil, "404 wait default/@undefined"},
		{"/?dpl=undefined", waited, "404"},
		{"/app.js.map?dpl=undefined", waited, "404"},
		{"/" + hashed + "?dpl=dead", nil, "410"},
		{"/" + hashed + "?dpl=tomb", nil, "410"},
		{"/" + hashed + "?dpl=next", nil, "404"}, // lacks it
		{"/@nobody/" + hashed, waited, "404"},
		{"/@old/" + hashed + "?dpl=", nil, "404"},
		{"/@old/" + hashed + "?dpl=live", nil, "404"},

		// A digest proves the bytes as well.
		{"/~" + x[:16] + "/app.js?dpl=nobody", waited, `200 "old app" forever`},
		{"/~" + x[:16] + "/app.js?dpl=", nil, `200 "old app" forever`},
		{"/~" + x[:8] + "/app.js?dpl=nobody", waited, "404"},
	}, shop())
	decisions(t, "main", []decision{{"/a1b2c3d4e5f6.txt?dpl=nobody", waited, "404"}}, shop())
}

// TestPolledFilesAreNeverKept asks for each in every form.
func TestPolledFilesAreNeverKept(t *testing.T) {
	s := notices("unpinned=")
	var cases []decision
	for _, p := range []string{"_app/version.json", "_nuxt/builds/latest.json", "ngsw.json", "ngsw-worker.js", "sw.js", "app.webmanifest", "version.json"} {
		digest, want := hexOf("old " + p)[:16], fmt.Sprintf("200 %q checked", "old "+p)
		cases = append(cases,
			decision{"/" + p, nil, fmt.Sprintf("200 %q checked vary", "live "+p)},
			decision{"/@old/" + p, nil, want}, decision{"/" + p + "?dpl=old", nil, want},
			decision{"/@old/~" + digest + "/" + p, nil, want}, decision{"/~" + digest + "/" + p, nil, want},
			decision{"/@dead/" + p, nil, "410"},
		)
	}
	decisions(t, "main", append(cases, decision{"/@old/config.json", nil, `200 "old config.json" forever`}), s)
	decisions(t, "main", cases[:5], notices("unpinned=", "immutable=**"))
}

// TestUnpinned: for any release or digest in the URL, and any header selection.
func TestUnpinned(t *testing.T) {
	for _, side := range []string{"main", "b"} {
		live := map[string]string{"main": "live", "b": "other"}[side]
		var cases []decision
		for _, p := range []string{"_app/version.json", "_nuxt/builds/latest.json"} {
			digest, want := hexOf("old " + p)[:16], fmt.Sprintf("200 %q checked id=%s", live+" "+p, live)
			for _, path := range []string{
				"/" + p, "/@old/" + p, "/@next/" + p, "/" + p + "?dpl=old", "/" + p + "?dpl=undefined", "/@old/~" + digest + "/" + p, "/~" + digest + "/" + p,
				"/~" + digest + "/" + p + "?dpl=old", "/@dead/" + p, "/@tomb/" + p, "/@nobody/" + p, "/" + p + "?dpl=a&dpl=b",
			} {
				cases = append(cases, decision{path, nil, want}, decision{path, header("old"), want})
			}
		}
		decisions(t, side, append(cases, decision{"/@old/version.json", nil, `200 "old version.json" checked`}), notices())
	}
	decisions(t, "main", []decision{
		{"/@old/app.js", nil, `200 "live app" checked id=live`},
		{"/" + hashed, nil, `200 "main" checked id=live`},
		{"/@old/", nil, `200 "old index" checked id=old`}, // a page is the one its URL names
		{"/@old/app.js.map", nil, "404"},
		{"/@next/app.js.map", nil, "404"},
		// The live release lacks it, and may have it later.
		{"/@old/config.json", nil, `200 "old config.json" checked`},
		{"/@old/~" + hexOf("old config.json")[:16] + "/config.json", nil, `200 "old config.json" checked`},
		{"/~" + hexOf("old config.json")[:16] + "/config.json", nil, `200 "old config.json" checked`},
		{"/@dead/config.json", nil, "410"},
		{"/@nobody/none.json", nil, "404 wait default/@nobody"},
	}, notices("unpinned=**"))
}

// A page that polls an unpinned file is one of the release that its URL names.
func TestUnpinnedCountsForTheReleaseNamed(t *testing.T) {
	tab := table(t, "main", notices())
	for path, want := range map[string]string{
		"/@old/_app/version.json": "old", "/_app/version.json?dpl=next": "next", "/_app/version.json": "", "/@live/_app/version.json": "", "/@nobody/_app/version.json": "",
	} {
		d, got := decideLawfully(t, tab, get(path)), ""
		if d.Asked != nil {
			got = d.Asked.ID.String()
		}
		if got != want || d.Release.ID.String() != "live" {
			t.Errorf("%s counts for %q and %s", path, got, d.Release.ID)
		}
	}
}

// The live file differs by side, and so do the validators.
func TestUnpinnedValidators(t *testing.T) {
	tab := table(t, "main", notices())
	path := "/@old/_app/version.json"
	h := headers(decideLawfully(t, tab, get(path)))
	old := holdfast.DigestOf([]byte("old _app/version.json")).String()[:32]
	for _, c := range []struct {
		with func(*Request)
		want int
	}{
		{func(r *Request) { r.IfNoneMatch = h["Etag"] }, 304},
		{func(r *Request) { r.IfModifiedSince = h["Last-Modified"] }, 304},
		{func(r *Request) { r.IfNoneMatch = `"` + old + `"` }, 200},
		{func(r *Request) { r.IfModifiedSince = epoch.Format("Mon, 02 Jan 2006 15:04:05 GMT") }, 200},
		{func(r *Request) { r.Range = "bytes=0-3" }, 206},
	} {
		d := decideLawfully(t, tab, get(path, c.with))
		if d.Status != c.want || headers(d)["X-Deployment-Id"] != "live" || headers(d)["Cache-Control"] != "no-cache" {
			t.Errorf("%d %v, want %d", d.Status, headers(d), c.want)
		}
	}
}

// TestMutable: a name that looks hashed and is not.
func TestMutable(t *testing.T) {
	decisions(t, "main", []decision{
		{"/" + hashed, nil, `200 "main" checked vary`},
		{"/@live/" + hashed, nil, `200 "main" forever`}, // the release proves the bytes
		{"/" + hashed + "?dpl=nobody", waited, "404"},
	}, shop("mutable=assets/*"))
}
