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

// versions is an app with five releases of one script, in three places.
func versions(settings ...string) site {
	s := shop(slices.DeleteFunc(settings, func(kv string) bool { return kv == "" })...)
	s.releases, s.sides = nil, map[string]string{"main": "r2"}
	states := []holdfast.State{holdfast.Live, holdfast.Live, holdfast.Retired, holdfast.Draining, holdfast.Draining}
	for i, hash := range []string{"Dt4K3xaB", "Ab3dEf12", "Zx8cVb4T", "Kp5dRf7M", "Wn2sGh6Q"} {
		state := states[i]
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

// Immutable files are offered as dictionaries for the URLs of later versions.
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

// drawer is a Deltas with one delta, which knows whether there are others.
type drawer struct {
	coding          holdfast.Coding
	from, to, delta string
	knows           bool
}

func (w *drawer) Find(c holdfast.Coding, u live.Upgrade) ([]byte, holdfast.Digest, bool) {
	if c != w.coding || u.Dictionary.Digest != holdfast.DigestOf([]byte(w.from)) || u.Target.Digest != holdfast.DigestOf([]byte(w.to)) {
		return nil, holdfast.Digest{}, w.knows
	}
	return []byte(w.delta), holdfast.DigestOf([]byte(w.delta)), true
}

// handler is one over the table of a site, with deltas, and where it logs accesses.
func (w *drawer) handler(t *testing.T, s site) (*Handler, *[]Access) {
	accesses := new([]Access)
	return NewHandler(&keeper{table: table(t, "main", s)}, &shelf{contents: objects(s), hot: true}, Options{
		Deltas: w, Access: func(_ *http.Request, a Access) { *accesses = append(*accesses, a) },
	}), accesses
}

func oneToTwo() *drawer {
	return &drawer{coding: holdfast.DeltaBrotli, from: version(1), to: version(2), delta: "1 becomes 2"}
}

// An existing delta is sent, with its own header.
func TestSendDelta(t *testing.T) {
	deltas := oneToTwo()
	h, accesses := deltas.handler(t, versions())
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
	if a := (*accesses)[0]; !a.Delta {
		t.Errorf("access %+v", a)
	}
	h, _ = deltas.handler(t, versions("deltas=shared"))
	if r := recorded(h, "GET", "/@r2/app.js", fields...); r.Header.Get("Content-Encoding") != "dcb" || r.Header.Get("Cache-Control") != cacheForEver {
		t.Errorf("with deltas=shared: %v", r.Header)
	}
}

// While there is no delta the whole file is sent, and no cache keeps it for others, which
// would never get the delta. If none is worth it, caches keep the file.
func TestNoDelta(t *testing.T) {
	for _, setting := range []string{"deltas=private", "deltas=shared"} {
		for knows, cache := range map[bool]string{false: cacheForOne, true: cacheForEver} {
			deltas := oneToTwo()
			deltas.knows = knows
			h, accesses := deltas.handler(t, versions(setting))
			r := recorded(h, "GET", "/@r1/app.js", "Accept-Encoding", "br, dcb", "Available-Dictionary", available(version(2)))
			if got := bodyOf(t, r); got != encoded(version(1), holdfast.Brotli) || r.Header.Get("Content-Encoding") != "br" || r.Header.Get("Vary") != varyDictionary {
				t.Errorf("%s, known %v: %d bytes, %v", setting, knows, len(got), r.Header)
			}
			if got := r.Header.Get("Cache-Control"); got != cache {
				t.Errorf("%s, known %v: %s, want %s", setting, knows, got, cache)
			}
			if a := (*accesses)[0]; a.Delta {
				t.Errorf("access %+v", a)
			}
		}
	}
}

// Only a client that has this exact delta, and can decode it, gets a 304.
func TestDeltaNotModified(t *testing.T) {
	deltas := oneToTwo()
	h, _ := deltas.handler(t, versions())
	tag := `"` + hexOf(version(2))[:32] + "-dcb." + hexOf(deltas.delta)[:8] + `"`
	for _, c := range []struct {
		field, dictionary string
		status            int
	}{
		{tag, version(1), 304},
		{"W/" + tag, version(1), 304},
		{`"x", ` + tag, version(1), 304},
		{tag, version(2), 200}, // has another dictionary by now
		{tag, version(3), 200},
		{tag, "", 200},
		{strings.Replace(tag, "dcb", "dcz", 1), version(1), 200},
		{`"` + hexOf(version(2))[:32] + `-dcb.00000000"`, version(1), 200}, // from another dictionary
	} {
		fields := []string{"Accept-Encoding", "br, dcb", "If-None-Match", c.field}
		if c.dictionary != "" {
			fields = append(fields, "Available-Dictionary", available(c.dictionary))
		}
		r := recorded(h, "GET", "/@r2/app.js", fields...)
		if r.StatusCode != c.status || c.status == 304 && (r.Header.Get("Etag") != tag || r.Header.Get("Cache-Control") != cacheForOne || bodyOf(t, r) != "") {
			t.Errorf("If-None-Match %s with %.9s: %d, %v", c.field, c.dictionary, r.StatusCode, r.Header)
		}
	}
}
