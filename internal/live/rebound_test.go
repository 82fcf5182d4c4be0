package live

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// A node that reads only after an ID was freed and bound to another build must not keep
// serving the files of the first one until it has loaded the second.
func TestReboundWhileUnread(t *testing.T) {
	w := newWorkshop()
	before := site{sides: []on{{"main", "one", 10}}, releases: []rel{
		{id: "one", state: alive, published: 1, activated: 3, files: files{"index.html": "one"}},
		{id: "two", state: holdfast.Published, published: 4, files: files{"a.js": "first"}},
	}}
	app := w.builder.table(w.snapshot(1, before), w.built).Apps()[0]
	if r, _ := app.Release("two"); !r.Loaded() || r.Rebound {
		t.Fatalf("%+v", r)
	}
	first := w.snapshot(1, before).Apps[0].Releases
	after := before
	after.releases = append([]rel{}, before.releases...)
	after.releases[1].files = files{"a.js": "second"}
	snap := w.snapshot(2, after)
	for i := range snap.Apps[0].Releases {
		if info := &snap.Apps[0].Releases[i]; info.ID.String() == "two" {
			info.Former = []registry.FormerBuild{{Manifest: manifestOf(first, "two")}}
		}
	}
	w.mark("two")
	app = w.builder.table(snap, w.built).Apps()[0]
	if r, _ := app.Release("two"); r.Loaded() || !r.Rebound {
		t.Errorf("not loaded yet: %+v", r)
	}
	if r, ok := app.Plain("a.js"); ok {
		t.Errorf("a.js is that of %s", r.Release.ID)
	}
}

func manifestOf(releases []registry.ReleaseInfo, id string) holdfast.Digest {
	for i := range releases {
		if releases[i].ID.String() == id {
			return releases[i].Manifest
		}
	}
	return holdfast.Digest{}
}
