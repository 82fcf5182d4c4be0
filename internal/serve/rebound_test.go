package serve

import (
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// An ID that named another build before proves no bytes: only URLs that prove them by
// themselves are immutable under it.
func TestReboundID(t *testing.T) {
	const plain = "app.js"
	files := map[string]string{"index.html": "<!doctype html>", plain: "new", hashed: "main"}
	other := []registry.FormerBuild{{Manifest: holdfast.DigestOf([]byte("another build"))}}
	digest := holdfast.DigestOf([]byte("new")).String()[:16]
	for _, c := range []struct {
		path   string
		former []registry.FormerBuild
		want   string
	}{
		{"/@r/" + plain, nil, cacheForEver},
		{"/@r/" + plain, other, cacheChecked},
		{"/" + plain + "?dpl=r", other, cacheChecked},
		{"/@r/~" + digest + "/" + plain, other, cacheForEver},
		{"/~" + digest + "/" + plain, other, cacheForEver},
		{"/@r/" + hashed, other, cacheForEver},
		{"/" + hashed, other, cacheForEver},
		{"/@other/" + plain, other, cacheForEver}, // another release of the same app
	} {
		s := site{app: "default", sides: map[string]string{"main": "r"}, releases: []rel{
			{id: "other", state: holdfast.Draining, files: map[string]string{plain: "old"}},
			{id: "r", state: holdfast.Live, files: files, former: c.former},
		}}
		var d Decision
		Decide(table(t, "main", s), get(c.path), &d)
		var got []string
		for _, f := range d.Class.list() {
			if f.Name == "Cache-Control" {
				got = append(got, f.Value)
			}
		}
		if d.Status != 200 || strings.Join(got, "") != c.want {
			t.Errorf("%s, formerly %d builds: %d %q, want %q", c.path, len(c.former), d.Status, got, c.want)
		}
	}
}

// The same build again under its ID changes nothing.
func TestReboundToTheSame(t *testing.T) {
	info := registry.ReleaseInfo{Release: holdfast.Release{Manifest: holdfast.DigestOf(nil)}}
	info.Former = []registry.FormerBuild{{Manifest: info.Manifest}}
	if info.Rebound() {
		t.Error("it proves what it proved before")
	}
}
