package asset_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/holdtest"

	holdfast "github.com/holdfast-web/holdfast"
)

// TestDeltas: a program that joined sends changes to browsers that have another release,
// and a standalone one offers no dictionaries.
func TestDeltas(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var words strings.Builder
	for words.Len() < 5000 {
		fmt.Fprintf(&words, "const c%d=%d;", r.IntN(1e6), r.IntN(1e6))
	}
	script := func(n string) string { return words.String() + "export default " + n }
	files := func(n string) map[string]string {
		return map[string]string{"index.html": "<!doctype html>" + n, "app.js": script(n)}
	}

	where := inMemory().cluster()
	p := newPublisher(t, where)
	p.publish("r1", files("1"))
	p.activate("r1")
	p.publish("r2", files("2"))
	p.activate("r2")
	a := join(t, where, asset.Options{})
	if got := ask(a, "/@r1/app.js").Header().Get("Use-As-Dictionary"); got != `match="/@*/app.js"` {
		t.Errorf("offered for %q", got)
	}
	digest := sha256.Sum256([]byte(script("1")))
	header := []string{"Accept-Encoding", "gzip, br, dcb", "Available-Dictionary", ":" + base64.StdEncoding.EncodeToString(digest[:]) + ":"}
	holdtest.Eventually(t, "a delta", func() bool { return ask(a, "/@r2/app.js", header...).Header().Get("Content-Encoding") == "dcb" })
	delta := ask(a, "/@r2/app.js", header...).Body.Bytes()
	got, err := coding.DecodeDelta(holdfast.DeltaBrotli, []byte(script("1")), delta, int64(len(script("2"))))
	if err != nil || string(got) != script("2") {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	alone, err := asset.New(mapFS(files("1")), asset.Options{})
	opened(t, alone, err)
	url := urlOf(t, alone, "app.js")
	if h := ask(alone, url).Header(); h.Get("Use-As-Dictionary") != "" || h.Get("Vary") != "Accept-Encoding" {
		t.Errorf("a program alone: %v", h)
	}
}
