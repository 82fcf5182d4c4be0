package serve

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

func TestPinnedTemplate(t *testing.T) {
	s := shop("pinned=/static/{release}/_next/{path}")
	s.releases[3].files["static/old/_next/twice.js"] = "live twice"
	s.releases[3].files["static/page/index.html"] = "live page"
	decisions(t, "main", []decision{
		{"/static/old/_next/app.js", nil, `200 "old app" forever`},
		{"/static/next/_next/", nil, `200 "next index" private id=next`},
		{"/static/dead/_next/app.js", nil, "410"},
		{"/static/old/_next/nothing.js", nil, "404"},
		{"/static/old/_next/twice.js", nil, "404"}, // names a release that exists
		{"/static/nobody/_next/app.js", nil, "404 wait default/@nobody"},
		{"/static/nobody/_next/app.js", waited, "404"},
		{"/static/old/_next/app.js?dpl=old", nil, `200 "old app" forever`},
		{"/static/old/_next/app.js?dpl=live", nil, "404"},
		{"/static/old/app.js", nil, "404"},
		{"/static/null/_next/app.js", nil, "404"},
		{"/static/page", nil, "308 /static/page/"},
		{"/static/page/", nil, `200 "live page" checked id=live`},
		{"/@old/app.js", nil, `200 "old app" forever`},
		{"/app.js", nil, `200 "live app" checked vary`},
	}, s)
	decisions(t, "main", []decision{
		{"/old/app.js", nil, `200 "old app" forever`},
		{"/docs/", nil, `200 "live docs" checked id=live`},
		{"/docs", nil, "308 /docs/"},
		{"/" + hashed, nil, `200 "main" forever`},
		{"/users/42", navigate, `200 "live index" checked id=live`},
		{"/users/42", script, "404 wait default/@users"},
	}, shop("pinned=/{release}/{path}", "spa=on"))
}

func TestMounts(t *testing.T) {
	one := func(app, mount string) site {
		return site{app: app, settings: map[string]string{"mount": mount}, sides: map[string]string{"main": "r"}, releases: []rel{
			{id: "r", state: holdfast.Live, files: map[string]string{"index.html": app + " index", "a.js": app + " a", "d/index.html": app + " d"}},
		}}
	}
	sites := []site{
		one("root", "/"), one("shop", "/shop"), one("deep", "/shop/deep"), one("hosted", "shop.example.com/"), one("below", "shop.example.com/shop"),
	}
	decisions(t, "main", []decision{
		{"/a.js", nil, `200 "root a" checked vary`},
		{"/shop", nil, "308 /shop/"},
		{"/shop?x=/y", nil, "308 /shop/?x=/y"},
		{"/sho%70", nil, "308 /sho%70/"},
		{"/shop/", nil, `200 "shop index" checked id=r`},
		{"/shop/a.js", nil, `200 "shop a" checked vary`},
		{"/shop/d", nil, "308 /shop/d/"},
		{"/shop/@r", nil, "308 /shop/@r/"},
		{"/shop/@r/a.js", nil, `200 "shop a" forever`},
		{"/shop/a.js?dpl=r", nil, `200 "shop a" forever`},
		{"/shop/~" + hexOf("shop a")[:16] + "/a.js", nil, `200 "shop a" forever`},
		{"/shop/~" + hexOf("root a")[:16] + "/a.js", waited, "404"},
		{"/shopping/a.js", nil, "404"},
		{"/Shop/a.js", nil, "404"},
		{"/shop/b.js", nil, "404"}, // no fall-through between apps
		{"/shop/deep", nil, "308 /shop/deep/"},
		{"/shop/deep/a.js", nil, `200 "deep a" checked vary`},
		{"/shop/deep/d/", nil, `200 "deep d" checked id=r`},
		{"/shop/deep/nope.js", nil, "404"},
		{"/@r/shop/a.js", nil, "404"},

		{"/a.js", host("shop.example.com"), `200 "hosted a" checked vary`},
		{"/a.js", host("SHOP.example.COM:8443"), `200 "hosted a" checked vary`},
		{"/a.js", host("shop.example.com."), `200 "hosted a" checked vary`},
		{"/a.js", host("shop.example.com.:80"), `200 "hosted a" checked vary`},
		{"/shop/a.js", host("shop.example.com"), `200 "below a" checked vary`},
		{"/shop/deep/a.js", host("shop.example.com"), "404"}, // a host beats the longer path
		{"/a.js", host("www.shop.example.com"), `200 "root a" checked vary`},
		{"/a.js", host("example.com:80"), `200 "root a" checked vary`},
		{"/a.js", host("[::1]:8080"), `200 "root a" checked vary`},
		{"/a.js", host("[::1]"), `200 "root a" checked vary`},
		{"/a.js", host("127.0.0.1:8080"), `200 "root a" checked vary`},
		{"/a.js", host(""), `200 "root a" checked vary`},
		{"/a.js", host(":"), `200 "root a" checked vary`},
	}, sites...)
	decisions(t, "main", []decision{
		{"/a.js", nil, "404"},
		{"/", nil, "404"},
		{"/shopp/@r/a.js", nil, "404 wait //shopp/@r/a.js"}, // an app that is new, perhaps
		{"/x/a-Ab3dEf12.js", nil, "404 wait //x/a-Ab3dEf12.js"},
		{"/x/a-Ab3dEf12.js", waited, "404"},
		{"/x/~0123456789abcdef/a.js", nil, "404 wait //x/~0123456789abcdef/a.js"},
		{"//x", nil, "404"},
	}, sites[1])
	d := decideLawfully(t, table(t, "main", sites[1:]...), get("/shop//a.js"))
	if d.Status != 404 || d.App == nil || d.App.Name.String() != "shop" || headers(d)["Access-Control-Allow-Origin"] != "*" {
		t.Errorf("an impossible path below a mount: %d %v", d.Status, headers(d))
	}
}

func TestNotReady(t *testing.T) {
	lagging := shop("spa=on")
	lagging.absent = map[string]bool{"old": true}
	decisions(t, "main", []decision{
		{"/@old/app.js", nil, "503"},
		{"/@old", nil, "503"},
		{"/app.js?dpl=old", nil, "503"},
		{"/app.js", header("old"), "503 id=old"},
		{"/", header("old"), `200 "live index" checked id=live`},
		{"/x", func(r *Request) { header("old")(r); navigate(r) }, `200 "live index" checked id=live`},
		{"/" + hashed, header("old"), `200 "main" forever`},
		{"/app.js", nil, `200 "live app" checked vary`},
		{"/", nil, `200 "live index" checked id=live`},
		{"/gone.js", nil, `200 "other gone" checked vary`},
		{"/guide", script, "503"}, // the release being loaded may have it
		{"/~" + hexOf("old app")[:16] + "/app.js", nil, "503"},
		{"/~" + hexOf("live app")[:16] + "/app.js", nil, `200 "live app" forever`},
		{"/@live/nothing.js", nil, "404"},
		{"/@nobody/nothing.js", waited, "404"},
	}, lagging)

	lagging = shop()
	lagging.absent = map[string]bool{"live": true}
	decisions(t, "main", []decision{
		{"/", nil, "503"},
		{"/app.js", nil, "503"},
		{"/app.js", header("old"), `200 "old app" private vary id=old`},
		{"/" + hashed, nil, `200 "main" forever`},
		{"/@live/app.js", nil, "503"},
		{"/@old/app.js", nil, `200 "old app" forever`},
	}, lagging)

	nothing := shop()
	nothing.sides = map[string]string{"b": "other"}
	decisions(t, "main", []decision{
		{"/", nil, "503"},
		{"/docs", nil, "503"},
		{"/nothing.js", nil, "503"},
		{"/app.js", nil, `200 "other app" checked vary`},
		{"/index.html", nil, "503"},
		{"/@next/", nil, `200 "next index" private id=next`},
	}, nothing)

	for _, path := range []string{"/", "/app.js", "/@old/app.js", "//"} {
		if d := decideLawfully(t, nil, get(path)); d.Status != 503 {
			t.Errorf("%s without a table: %d, want 503", path, d.Status)
		}
	}
}
