package serve

import (
	"net/http"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

// leaky is an app of which the release before the live one, and the live one, have a
// file that was taken down; other releases have other bytes under the same path.
func leaky(settings ...string) site {
	s := shop(settings...)
	page := "<!doctype html><title>leak</title>"
	files := func(n int, more map[string]string) map[string]string {
		all := map[string]string{"index.html": version(n) + "<", "config.js": version(n), "fine.js": "fine", "assets/app-Ab3dEf12.js": version(n)}
		for p, content := range more {
			all[p] = content
		}
		return all
	}
	s.releases = []rel{
		{id: "r0", state: holdfast.Draining, files: files(0, map[string]string{"assets/app-Ab3dEf12.js": "hashed", "only-there.js": version(9)})},
		{id: "r1", state: holdfast.Draining, files: files(1, map[string]string{"assets/app-Ab3dEf12.js": "hashed"})},
		{id: "r2", state: holdfast.Live, files: files(1, map[string]string{
			"assets/app-Ab3dEf12.js": "hashed", "leak.html": page, "secret/index.html": page, "404.html": version(7) + "<", "again.js": version(1),
		})},
		{id: "r3", state: holdfast.Published, files: files(3, map[string]string{"assets/app-Ab3dEf12.js": "hashed"})},
	}
	s.sides = map[string]string{"main": "r2"}
	s.taken = []string{version(1), page, "hashed", version(9), version(7) + "<"}
	return s
}

// Taken-down bytes are 410 under every URL, for any request, and no cache may keep that
// answer; other bytes are answered as usual.
func TestTakenDown(t *testing.T) {
	leak, page := hexOf(version(1)), hexOf("<!doctype html><title>leak</title>")
	tb := table(t, "main", leaky())
	for _, c := range []struct {
		path   string
		status int
		with   func(*Request)
	}{
		{"/config.js", 410, nil},
		{"/again.js", 410, nil}, // the same bytes under another name
		{"/config.js", 410, func(r *Request) { r.AcceptEncoding = "br" }},
		{"/config.js", 410, func(r *Request) { r.AcceptEncoding = "" }},
		{"/config.js", 410, func(r *Request) { r.Range = "bytes=0-1" }},
		{"/config.js", 410, func(r *Request) { r.Method = "HEAD" }},
		{"/config.js", 410, func(r *Request) { r.IfNoneMatch = `"` + leak[:32] + `"` }},
		{"/config.js", 410, func(r *Request) { r.IfNoneMatch = "*" }},
		{"/config.js", 410, has(version(0), "br, dcb")},
		{"/config.js", 410, func(r *Request) { r.DeploymentID = "r1" }},
		{"/config.js", 200, func(r *Request) { r.DeploymentID = "r0" }},
		{"/config.js?dpl=r1", 410, nil},
		{"/config.js?dpl=r2", 410, nil},
		{"/config.js?dpl=r0", 200, nil},
		{"/@r1/config.js", 410, nil},
		{"/@r2/config.js", 410, nil},
		{"/@r3/config.js", 200, nil},
		{"/@r2/~" + leak[:8] + "/config.js", 410, nil},
		{"/~" + leak[:16] + "/config.js", 410, nil},
		{"/~" + leak + "/again.js", 410, nil},
		{"/~" + hexOf(version(0))[:16] + "/config.js", 200, nil},
		{"/assets/app-Ab3dEf12.js", 410, nil}, // fingerprinted, the same everywhere
		{"/only-there.js", 410, nil},          // the live release lacks it
		{"/leak.html", 410, nil},
		{"/leak", 410, nil},
		{"/secret/", 410, nil},
		{"/@r2/secret/", 410, nil},
		{"/~" + page[:16] + "/leak.html", 410, nil},
		{"/fine.js", 200, nil},
		{"/", 200, nil},
		{"/no-such-page", 404, func(r *Request) { r.FetchMode = "navigate" }},
	} {
		req := get(c.path)
		if c.with != nil {
			c.with(req)
		}
		var d Decision
		Decide(tb, req, &d)
		if d.Status != c.status {
			t.Errorf("%s: %d, want %d", c.path, d.Status, c.status)
			continue
		}
		if d.Status == 200 {
			continue
		}
		if h := headers(&d); h["Cache-Control"] != "no-store" || h["Etag"] != "" || d.Length != 0 || d.Upgrade.Target != nil || h["Use-As-Dictionary"] != "" {
			t.Errorf("%s: %d with %v, %d bytes of a file", c.path, d.Status, h, d.Length)
		}
	}
}

// An app whose every route is its first page does not show another one in place of a
// page that was taken down.
func TestTakenDownFallback(t *testing.T) {
	s := leaky("spa=on")
	s.taken = append(s.taken, version(2)+"<", version(1)+"<")
	s.releases[2].files["index.html"] = version(2) + "<"
	tb := table(t, "main", s)
	for _, path := range []string{"/", "/some/route", "/index.html", "/@r2/"} {
		var d Decision
		Decide(tb, get(path, func(r *Request) { r.FetchMode = "navigate" }), &d)
		if d.Status != http.StatusGone {
			t.Errorf("%s: %d", path, d.Status)
		}
	}
}

// Taken-down bytes are neither a dictionary nor the target of a delta, and are not
// prepared for either.
func TestTakenDownDeltas(t *testing.T) {
	s := versions()
	s.taken = []string{version(1)} // live on another side
	tb := table(t, "main", s)
	for _, c := range []struct {
		path, has string
		want      bool
	}{
		{"/@r2/app.js", version(1), false},
		{"/@r2/app.js", version(4), true},
		{"/@r1/app.js", version(2), false},
	} {
		var d Decision
		Decide(tb, get(c.path, has(c.has, "br, dcb")), &d)
		if got := d.Upgrade.Dictionary != nil; got != c.want {
			t.Errorf("%s for a browser that has %.10s: delta %v, want %v", c.path, c.has, got, c.want)
		}
	}
	for _, u := range tb.Apps()[0].Upgrades(9) {
		if u.Dictionary.TakenDown() || u.Target.TakenDown() {
			t.Errorf("a delta is made ahead: %s to %s", u.Dictionary.Path, u.Target.Path)
		}
	}
}
