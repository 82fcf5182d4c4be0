package serve

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fieldsWith returns the fields of assets for other origins, and more: pairs of name and
// value.
func fieldsWith(base map[string]string, more ...string) map[string]string {
	m := maps.Clone(base)
	for i := 0; i < len(more); i += 2 {
		if m[more[i]] = more[i+1]; more[i+1] == "" {
			delete(m, more[i])
		}
	}
	return m
}

// TestHeaders compares whole headers: unlisted fields must be absent.
func TestHeaders(t *testing.T) {
	cors := map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Deployment-Id",
		"Cross-Origin-Resource-Policy": "cross-origin", "Timing-Allow-Origin": "*", "X-Content-Type-Options": "nosniff",
	}
	tag := func(content string) string { return `"` + hexOf(content)[:32] + `"` }
	js := fieldsWith(cors, "Content-Type", "text/javascript; charset=utf-8", "Accept-Ranges", "bytes", "Vary", "Accept-Encoding", "Cache-Tag", "default")
	html := map[string]string{
		"X-Content-Type-Options": "nosniff", "Content-Type": "text/html; charset=utf-8", "Accept-Ranges": "bytes", "Vary": "Accept-Encoding",
	}
	failure := fieldsWith(cors, "Cache-Control", "no-store", "Content-Type", "text/plain; charset=utf-8")
	forEver := "public, max-age=31536000, immutable"
	oldPublished, livePublished, liveActivated := "Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 12:00:06 GMT", "Sun, 01 Mar 2026 12:00:07 GMT"
	notModified := func(r *Request) { r.IfNoneMatch = "*" }
	for _, c := range []struct {
		name, path string
		with       func(*Request)
		want       map[string]string
	}{
		{"pinned asset", "/@old/app.js", nil, fieldsWith(js, "Cache-Control", forEver, "Etag", tag("old app"), "Content-Length", "7", "Last-Modified", oldPublished, "Cache-Tag", "default, default@old")},
		{"full", "/@old/~" + hexOf("old app")[:8] + "/app.js", nil, fieldsWith(js, "Cache-Control", forEver, "Etag", tag("old app"), "Content-Length", "7", "Last-Modified", oldPublished, "Cache-Tag", "default, default@old")},
		{"content", "/~" + hexOf("old app")[:16] + "/app.js", nil, fieldsWith(js, "Cache-Control", forEver, "Etag", tag("old app"), "Content-Length", "7")},
		{"plain", "/app.js", nil, fieldsWith(js, "Cache-Control", "no-cache", "Etag", tag("live app"), "Content-Length", "8", "Last-Modified", liveActivated, "Vary", "Accept-Encoding, X-Deployment-Id")},
		{"plain, fingerprinted", "/" + hashed, nil, fieldsWith(js, "Cache-Control", forEver, "Etag", tag("main"), "Content-Length", "4", "Last-Modified", liveActivated)},
		{"selected", "/app.js", header("live"), fieldsWith(js, "Cache-Control", "private, no-cache", "Etag", tag("live app"), "Content-Length", "8", "Last-Modified", livePublished, "Vary", "Accept-Encoding, X-Deployment-Id", "Cache-Tag", "default, default@live", "X-Deployment-Id", "live")},
		{"selected, 404", "/robots.txt", header("old"), fieldsWith(failure, "X-Deployment-Id", "old")},
		{"empty", "/@live/empty.js", nil, fieldsWith(js, "Cache-Control", forEver, "Etag", tag(""), "Content-Length", "0", "Last-Modified", livePublished, "Cache-Tag", "default, default@live")},
		{"document", "/about", nil, fieldsWith(html, "Cache-Control", "no-cache", "Etag", tag("live about"), "Content-Length", "10", "Last-Modified", liveActivated, "Cache-Tag", "default, default@live", "X-Deployment-Id", "live", "Server-Timing", `holdfast;desc="live"`)},
		{"pinned document", "/@live/about", nil, fieldsWith(html, "Cache-Control", "no-cache", "Etag", tag("live about"), "Content-Length", "10", "Last-Modified", livePublished, "Cache-Tag", "default, default@live", "X-Deployment-Id", "live", "Server-Timing", `holdfast;desc="live"`)},
		{"preview", "/@next/", nil, fieldsWith(html, "Cache-Control", "private, no-cache", "Etag", tag("next index"), "Content-Length", "10", "Last-Modified", "Sun, 01 Mar 2026 12:00:10 GMT", "Cache-Tag", "default, default@next", "X-Deployment-Id", "next", "Server-Timing", `holdfast;desc="next"`)},
		{"client helper", "/~client.js", nil, fieldsWith(js, "Cache-Control", "no-cache", "Etag", tag(clientScript), "Content-Length", fmt.Sprint(len(clientScript)))},
		{"304 of an asset", "/@old/app.js", notModified, fieldsWith(cors, "Cache-Control", forEver, "Etag", tag("old app"), "Last-Modified", oldPublished, "Vary", "Accept-Encoding", "Cache-Tag", "default, default@old")},
		{"304 of a document", "/about", notModified, map[string]string{"X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding", "Cache-Control": "no-cache", "Etag": tag("live about"), "Last-Modified": liveActivated, "Cache-Tag": "default, default@live", "X-Deployment-Id": "live", "Server-Timing": `holdfast;desc="live"`}},
		{"206", "/@old/app.js", func(r *Request) { r.Range = "bytes=0-1" }, fieldsWith(js, "Cache-Control", forEver, "Etag", tag("old app"), "Last-Modified", oldPublished, "Cache-Tag", "default, default@old")},
		{"416", "/@old/app.js", func(r *Request) { r.Range = "bytes=7-" }, failure},
		{"412", "/@old/app.js", func(r *Request) { r.IfMatch = `"x"` }, failure},
		{"404", "/nothing.js", nil, failure},
		{"404 of no path", "//", nil, failure},
		{"404 with a page", "/nothing", navigate, fieldsWith(cors, "Cache-Control", "no-store", "Content-Type", "text/html; charset=utf-8", "Vary", varyNavigation, "Content-Length", "8", "X-Deployment-Id", "live", "Server-Timing", `holdfast;desc="live"`)},
		{"410", "/@dead/dead.js", nil, failure},
		{"redirect", "/docs", nil, map[string]string{"Cache-Control": "no-cache", "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}},
		{"preflight", "/app.js", func(r *Request) { r.Method = "OPTIONS" }, map[string]string{
			"Allow": "GET, HEAD, OPTIONS", "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
			"Access-Control-Allow-Headers": "X-Deployment-Id, Range", "Access-Control-Expose-Headers": "X-Deployment-Id", "Access-Control-Max-Age": "86400",
		}},
		{"post", "/app.js", func(r *Request) { r.Method = "POST" }, map[string]string{"Cache-Control": "no-store", "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := get(c.path)
			if c.with != nil {
				c.with(r)
			}
			if diff := cmp.Diff(c.want, headers(decideLawfully(t, table(t, "main", shop()), r))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestHeadersThatSettingsChange(t *testing.T) {
	names := []string{"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Allow-Headers", "Cross-Origin-Resource-Policy", "Timing-Allow-Origin"}
	pick := func(d *Decision) map[string]string {
		all, picked := headers(d), map[string]string{}
		for _, n := range names {
			if v, ok := all[n]; ok {
				picked[n] = v
			}
		}
		return picked
	}
	off := table(t, "main", shop("cors=off", "corp=off", "timing=off"))
	own := table(t, "main", shop("cors=https://www.example.com", "corp=same-site", "timing=https://t.example.com"))
	for _, path := range []string{"/app.js", "/@old/app.js", "/" + hashed, "/~" + hexOf("old app")[:16] + "/app.js", "/~client.js", "/nothing.js", "/@dead/x.js", "/nothing"} {
		if diff := cmp.Diff(map[string]string{}, pick(decideLawfully(t, off, get(path)))); diff != "" {
			t.Errorf("%s with all off: %s", path, diff)
		}
		want := map[string]string{
			"Access-Control-Allow-Origin": "https://www.example.com", "Access-Control-Expose-Headers": "X-Deployment-Id",
			"Cross-Origin-Resource-Policy": "same-site", "Timing-Allow-Origin": "https://t.example.com",
		}
		if diff := cmp.Diff(want, pick(decideLawfully(t, own, get(path)))); diff != "" {
			t.Errorf("%s with other values: %s", path, diff)
		}
	}
	preflight := get("/app.js", func(r *Request) { r.Method = "OPTIONS" })
	if diff := cmp.Diff(map[string]string{}, pick(decideLawfully(t, off, preflight))); diff != "" {
		t.Errorf("preflight with cors off: %s", diff)
	}
}

func TestSelectedByHeader(t *testing.T) {
	decisions(t, "main", []decision{
		{"/app.js", header("old"), `200 "old app" private vary id=old`},
		{"/app.js", header("live"), `200 "live app" private vary id=live`},
		{"/app.js", header("next"), `200 "next app" private vary id=next`},
		{"/" + clashed, header("old"), `200 "old oops" private vary id=old`},
		{"/app.js?dpl=other", header("old"), `200 "other app" forever`},
		{"/" + hashed, header("old"), `200 "main" forever`},
		{"/" + hashed, header("next"), `200 "main" forever`},

		// Like a pin it does not fall through, where there is something to choose from.
		{"/robots.txt", header("old"), "404 id=old"},
		{"/nothing.js", header("old"), "404"},

		// Never documents.
		{"/", header("old"), `200 "live index" checked id=live`},
		{"/", header("next"), `200 "live index" checked id=live`},
		{"/", header("nobody"), `200 "live index" checked id=live`},
		{"/index.html", header("old"), `200 "live index" checked id=live`},
		{"/about", header("old"), `200 "live about" checked id=live`},
		{"/only-old", header("old"), `404 "live 404" id=live`},
		{"/docs", header("old"), "308 /docs/"},
		{"/turned", header("old"), `200 "live data" checked vary`},
		{"/turned", header("live"), `200 "live data" private vary id=live`},
		{"/returned", header("old"), `200 "<!doctype html>live" checked id=live`},

		// A release that is not servable, or an invalid ID, does not select.
		{"/app.js", header("dead"), `200 "live app" checked vary`},
		{"/app.js", header("tomb"), `200 "live app" checked vary`},
		{"/app.js", header("null"), `200 "live app" checked vary`},
		{"/app.js", header("old, live"), `200 "live app" checked vary`},
		{"/app.js", header("a/../b"), `200 "live app" checked vary`},

		// An unknown release may be one that this node has not heard of yet.
		{"/app.js", header("nobody"), `200 "live app" checked vary wait default/@nobody`},
		{"/app.js", func(r *Request) { r.DeploymentID, r.Waited = "nobody", true }, `200 "live app" checked vary`},
		{"/" + hashed, header("nobody"), `200 "main" forever`},
		{"/nothing.js", header("nobody"), "404 wait default/@nobody"},
		{"/app.js.map", header("nobody"), "404"},
		{"/app.js.map", header("old"), "404"},
	}, shop())
}
