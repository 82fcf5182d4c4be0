package serve

import (
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

// TestNoStampAheadOfTheClock: stamps of rapid activations may be in the future;
// Last-Modified is never later than Date, and an omitted stamp cannot be compared with.
func TestNoStampAheadOfTheClock(t *testing.T) {
	tab := table(t, "main", site{
		app: "default", sides: map[string]string{"main": "v1"},
		releases: []rel{{id: "v1", state: holdfast.Live, files: map[string]string{"index.html": "one"}}},
	})
	activated := epoch.Unix() + 1
	for now, said := range map[int64]bool{activated - 1: false, activated: true, activated + 1: true, 0: true} {
		var d Decision
		r := get("/")
		r.Now = now
		Decide(tab, r, &d)
		modified, ok := headers(&d)["Last-Modified"]
		if d.Status != 200 || ok != said {
			t.Errorf("%d s after the activation: %d, Last-Modified %q", now-activated, d.Status, modified)
		}
		r.IfModifiedSince = stampOf(epoch.Add(1e9)).text
		Decide(tab, r, &d)
		if (d.Status == 304) != said {
			t.Errorf("%d s after the activation: If-Modified-Since of the stamp: %d", now-activated, d.Status)
		}
	}
}
