package serve

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// version is the content of one version of a script.
func version(n int) string { return fmt.Sprint("version ", n, strings.Repeat(";", 2000)) }

// versions is an app with three releases of one script, in three places.
func versions(settings ...string) site {
	s := shop(slices.DeleteFunc(settings, func(kv string) bool { return kv == "" })...)
	s.releases, s.sides = nil, map[string]string{"main": "r2"}
	for i, hash := range []string{"Dt4K3xaB", "Ab3dEf12", "Zx8cVb4T"} {
		state := holdfast.Live
		if i == 2 {
			state = holdfast.Retired
		}
		s.releases = append(s.releases, rel{id: fmt.Sprint("r", i+1), state: state, files: map[string]string{
			"index.html": version(i+1) + "<", "app.js": version(i + 1), "assets/app-" + hash + ".js": version(i + 1), "a (1).js": version(i + 1), "small.js": "small",
		}})
	}
	return s
}

func available(content string) string {
	d := holdfast.DigestOf([]byte(content))
	return ":" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}

// has is a browser that has content as a dictionary.
func has(content, accept string) func(*Request) {
	return func(r *Request) { r.AvailableDictionary, r.AcceptEncoding = available(content), accept }
}

// What a URL can never mean two things by is offered as a dictionary for the URLs of
// later versions.
func TestOffers(t *testing.T) {
	two := hexOf(version(2))
	for _, c := range []struct{ path, settings, want string }{
		{"/@r2/app.js", "", `match="/@*/app.js"`},
		{"/@r2/assets/app-Ab3dEf12.js", "", `match="/@*/assets/app-*.js"`},
		{"/@r2/~" + two[:8] + "/app.js", "", `match="/@*/~*/app.js"`},
		{"/~" + two[:16] + "/assets/app-Ab3dEf12.js", "", `match="/~*/assets/app-*.js"`},
		{"/assets/app-Ab3dEf12.js", "", `match="/assets/app-*.js"`},
		{"/s/r2/x/app.js", "pinned=/s/{release}/x/{path}", `match="/s/*/x/app.js"`},
		{"/a/@r2/app.js", "mount=/a", `match="/a/@*/app.js"`},
		{"/@r2/app.js", "mount=example.com/", `match="/@*/app.js"`},
		{"/app.js", "", ""}, // may mean another version tomorrow
		{"/app.js?dpl=r2", "", ""},
		{"/app.js", "immutable=*.js", ""},
		{"/@r2/", "", ""},
		{"/@r2/small.js", "", ""},
		{"/@r2/a%20(1).js", "", ""}, // no pattern can be written for it
		{"/@r2/app.js", "deltas=off", ""},
	} {
		d := decideLawfully(t, table(t, "main", versions(c.settings)), get(c.path))
		if h := headers(d); d.Status != 200 || h["Use-As-Dictionary"] != c.want {
			t.Errorf("%s with %s: %d, %q, want %q", c.path, c.settings, d.Status, h["Use-As-Dictionary"], c.want)
		}
	}
}

func TestUpgrades(t *testing.T) {
	script, all := "/@r2/app.js", "gzip, br, dcb, dcz"
	for name, c := range map[string]struct {
		path string
		with func(*Request)
		want string
	}{
		"earlier version":  {script, has(version(1), all), "dcb of app.js"},
		"same version":     {script, has(version(2), all), "dcb of app.js"},
		"plain":            {"/assets/app-Ab3dEf12.js", has(version(1), all), "dcb of assets/app-Dt4K3xaB.js"},
		"content":          {"/~" + hexOf(version(2))[:16] + "/app.js", has(version(1), all), "dcb of app.js"},
		"rolled back":      {"/@r1/app.js", has(version(2), all), "dcb of app.js"},
		"head":             {script, func(r *Request) { has(version(1), all)(r); r.Method = "HEAD" }, "dcb of app.js"},
		"zstd alone":       {script, has(version(1), "gzip, dcz"), "dcz of app.js"},
		"zstd rather":      {script, has(version(1), "dcb;q=0.1, dcz;q=0.5"), "dcz of app.js"},
		"refused":          {script, has(version(1), "br, dcb;q=0"), ""},
		"not accepted":     {script, has(version(1), "br, *"), ""},
		"retired":          {script, has(version(3), all), ""},
		"unknown":          {script, has("something else", all), ""},
		"another file":     {script, has(version(2)+"<", all), ""},
		"page":             {"/@r2/", has(version(1)+"<", all), ""},
		"may change":       {"/app.js", has(version(1), all), ""},
		"query":            {"/app.js?dpl=r2", has(version(1), all), "dcb of app.js"},
		"part":             {script, func(r *Request) { has(version(1), all)(r); r.Range = "bytes=0-9" }, ""},
		"part that fails":  {script, func(r *Request) { has(version(1), all)(r); r.Range, r.IfRange = "bytes=0-9", `"x"` }, ""},
		"no byte sequence": {script, func(r *Request) { has(version(1), all)(r); r.AvailableDictionary = r.AvailableDictionary[1:] }, ""},
		"two":              {script, func(r *Request) { has(version(1), all)(r); r.AvailableDictionary += ", " + r.AvailableDictionary }, ""},
		"loose bits at end": {script, func(r *Request) {
			has(version(1), all)(r)
			r.AvailableDictionary = ":" + strings.Repeat("A", 42) + "B=:"
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := decideLawfully(t, table(t, "main", versions()), get(c.path, c.with))
			got := ""
			if u := d.Upgrade; u.Dictionary != nil {
				got = d.Coding.String() + " of " + u.Dictionary.Path
			}
			if got != c.want {
				t.Errorf("delta: %q, want %q", got, c.want)
			}
			if d.Status >= 400 || d.Status != 206 && d.Entry == nil {
				t.Errorf("status %d", d.Status)
			}
		})
	}
	if d := decideLawfully(t, table(t, "main", versions("deltas=off")), get(script, has(version(1), all))); d.Upgrade.Dictionary != nil || headers(d)["Vary"] != "Accept-Encoding" {
		t.Errorf("with deltas=off: %v, %v", d.Upgrade, headers(d))
	}
}

// drawer is a Deltas with one delta.
type drawer struct {
	coding           holdfast.Coding
	from, to, delta  string
	asked, different int
}

func (w *drawer) Find(c holdfast.Coding, u live.Upgrade) ([]byte, holdfast.Digest, bool) {
	w.asked++
	if c != w.coding || u.Dictionary.Digest != holdfast.DigestOf([]byte(w.from)) || u.Target.Digest != holdfast.DigestOf([]byte(w.to)) {
		w.different++
		return nil, holdfast.Digest{}, false
	}
	return []byte(w.delta), holdfast.DigestOf([]byte(w.delta)), true
}

// A delta that is there is sent, with a header of its own; else the whole file is.
func TestSendDelta(t *testing.T) {
	s := versions()
	deltas := &drawer{coding: holdfast.DeltaBrotli, from: version(1), to: version(2), delta: "1 becomes 2"}
	var accesses []Access
	h := NewHandler(&keeper{table: table(t, "main", s)}, &shelf{contents: objects(s), hot: true}, Options{
		Deltas: deltas, Access: func(_ *http.Request, a Access) { accesses = append(accesses, a) },
	})
	fields := []string{"Accept-Encoding", "br, dcb", "Available-Dictionary", available(version(1))}
	tag := `"` + hexOf(version(2))[:32] + "-dcb." + hexOf(deltas.delta)[:8] + `"`
	want := http.Header{
		"Content-Type": {"text/javascript; charset=utf-8"}, "Content-Length": {"11"}, "Content-Encoding": {"dcb"}, "Etag": {tag},
		"Cache-Control": {"private, max-age=31536000, immutable"}, "Vary": {"Accept-Encoding, Available-Dictionary"},
		"Use-As-Dictionary": {`match="/@*/app.js"`}, "Cache-Tag": {"default, default@r2"}, "Last-Modified": {"Sun, 01 Mar 2026 12:00:02 GMT"},
		"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"X-Deployment-Id"}, "Cross-Origin-Resource-Policy": {"cross-origin"},
		"Timing-Allow-Origin": {"*"}, "X-Content-Type-Options": {"nosniff"},
	}
	for method, body := range map[string]string{"GET": deltas.delta, "HEAD": ""} {
		r := recorded(h, method, "/@r2/app.js", fields...)
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("%s: %s", method, diff)
		}
		if got := bodyOf(t, r); got != body {
			t.Errorf("%s: body %q, want %q", method, got, body)
		}
	}
	if a := accesses[0]; !a.Delta {
		t.Errorf("access %+v", a)
	}

	whole := recorded(h, "GET", "/@r1/app.js", "Accept-Encoding", "br, dcb", "Available-Dictionary", available(version(2)))
	if got := bodyOf(t, whole); got != encoded(version(1), holdfast.Brotli) || whole.Header.Get("Content-Encoding") != "br" || deltas.different != 1 {
		t.Errorf("without a delta: %s, %d bytes", whole.Header.Get("Content-Encoding"), len(got))
	}
	if got := whole.Header.Get("Cache-Control"); got != cacheForEver {
		t.Errorf("the whole file is %s", got)
	}
	if a := accesses[2]; a.Delta {
		t.Errorf("access %+v", a)
	}

	// What it was decoded to is what a client holds.
	for field, status := range map[string]int{
		tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, strings.Replace(tag, "dcb", "dcz", 1): 200, strings.Replace(tag, "-dcb", "-xyz", 1): 200, tag[:len(tag)-2] + `"`: 200,
		`"` + hexOf(version(1))[:32] + "-dcb." + hexOf(deltas.delta)[:8] + `"`: 200,
	} {
		r := recorded(h, "GET", "/@r2/app.js", append(fields, "If-None-Match", field)...)
		if r.StatusCode != status || status == 304 && (!strings.HasSuffix(field, r.Header.Get("Etag")) || r.Header.Get("Cache-Control") != cacheForOne) {
			t.Errorf("If-None-Match %s: %d, %v", field, r.StatusCode, r.Header)
		}
	}
	shared := versions("deltas=shared")
	h = NewHandler(&keeper{table: table(t, "main", shared)}, &shelf{contents: objects(shared), hot: true}, Options{Deltas: deltas})
	if r := recorded(h, "GET", "/@r2/app.js", fields...); r.Header.Get("Content-Encoding") != "dcb" || r.Header.Get("Cache-Control") != cacheForEver {
		t.Errorf("with deltas=shared: %v", r.Header)
	}
}
