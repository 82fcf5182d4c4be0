package serve

import (
	"maps"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

// A user who opens a route that only the app's router knows is told how to serve it, if
// that is the likely cause.
func TestHintForRouters(t *testing.T) {
	one := func(more map[string]string, settings map[string]string) site {
		files := map[string]string{"index.html": "<!doctype html>app", "app.js": "1"}
		maps.Copy(files, more)
		return site{app: "shop", settings: settings, sides: map[string]string{"main": "r"}, releases: []rel{{id: "r", state: holdfast.Live, files: files}}}
	}
	const hint, plain = "no such page; if this app routes in the browser: holdfast app set shop spa=on\n", "no such file\n"
	for _, c := range []struct {
		site site
		path string
		with func(*Request)
		want string
	}{
		{one(nil, nil), "/shop/about", navigate, hint},
		{one(nil, nil), "/shop/about", accept("text/html"), hint},
		{one(nil, nil), "/shop/about", script, plain},
		{one(nil, nil), "/shop/about", nil, plain},
		{one(nil, nil), "/shop/gone.js", navigate, plain},
		{one(map[string]string{"about.html": "<!doctype html>about"}, nil), "/shop/no", navigate, plain},
		{one(nil, map[string]string{"spa": "on"}), "/shop/gone.js", script, plain},
	} {
		r, d := &Request{Method: "GET", Path: c.path}, Decision{}
		if c.with != nil {
			c.with(r)
		}
		if Decide(table(t, "main", c.site), r, &d); d.Status != 404 || d.Text != c.want {
			t.Errorf("%s: %d %q", c.path, d.Status, d.Text)
		}
	}
}

// "?dpl=<release>" also previews the routes of an app whose pages have absolute URLs.
func TestPreviewOfRoutes(t *testing.T) {
	for setting, want := range map[string]string{"on": `200 "old index" checked id=old`, "off": "404"} {
		decisions(t, "main", []decision{
			{"/user/1?dpl=old", navigate, want},
			{"/user/1?dpl=old", script, "404"},
			{"/user/1.js?dpl=old", navigate, want},
			{"/user/1.js?dpl=old", script, "404"},
			{"/@old/user/1", navigate, "404"}, // relative URLs would not find their files
		}, shop("spa="+setting))
	}
}
