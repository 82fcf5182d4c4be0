package live

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The routes lead where the rule says that they do, which is tried for each mount.
func TestRoutesFollowTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := rapid.SampledFrom([]string{"a", "b", "ab", "", "a.b"})
		path := rapid.Map(rapid.SliceOfN(segments, 0, 4), func(s []string) string { return "/" + strings.Join(s, "/") })
		mount := rapid.Custom(func(t *rapid.T) App {
			prefix := strings.TrimRight(path.Draw(t, "prefix"), "/")
			return App{host: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "host"), prefix: strings.ReplaceAll(prefix, "//", "/")}
		})
		var apps []*App
		for _, a := range rapid.SliceOfNDistinct(mount, 0, 8, func(a App) string { return a.host + a.prefix }).Draw(t, "apps") {
			apps = append(apps, &a)
		}
		host, p := rapid.SampledFrom([]string{"", "x", "z"}).Draw(t, "host"), path.Draw(t, "path")
		var want *App
		for _, a := range apps {
			holds := (a.host == "" || a.host == host) && (p == a.prefix || strings.HasPrefix(p, a.prefix+"/"))
			if holds && (want == nil || a.host != "" && want.host == "" || (a.host == "") == (want.host == "") && len(a.prefix) > len(want.prefix)) {
				want = a
			}
		}
		if got := newRoutes(apps).find(host, p); got != want {
			t.Fatalf("find(%q, %q) = %+v, want %+v", host, p, got, want)
		}
	})
}

func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("apps=%d", n), func(b *testing.B) {
			t := &Table{}
			for i := range n {
				t.apps = append(t.apps, &App{prefix: fmt.Sprintf("/team/app%d", i)})
			}
			t.routes = newRoutes(t.apps)
			path := fmt.Sprintf("/team/app%d/assets/index-DtbK3_aB.js", n-1)
			b.ReportAllocs()
			for b.Loop() {
				if app, _, _ := t.Route("shop.example.com", path); app != t.apps[n-1] {
					b.Fatal(app)
				}
			}
		})
	}
}
