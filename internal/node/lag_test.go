package node

import (
	"context"
	"encoding/base32"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// deaf is a registry whose hints never arrive.
type deaf struct{ *registry.Registry }

func (deaf) Watch(ctx context.Context) (<-chan struct{}, error) {
	silent := make(chan struct{})
	context.AfterFunc(ctx, func() { close(silent) })
	return silent, nil
}

// strangeName makes names that no rule knows: 13 of 38 characters, like Next.js since
// 16.2.
func strangeName(s string) string {
	const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz_~"
	d := holdfast.DigestOf([]byte(s))
	b := []byte("0")
	for _, c := range d[:12] {
		b = append(b, alphabet[int(c)%len(alphabet)])
	}
	return string(b)
}

// TestNoFlipIsMissed: a node that gets no hints answers for every asset of a release
// published a moment ago, for any name and directory.
func TestNoFlipIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		build := func(i int) map[string]string {
			files := map[string]string{"index.html": fmt.Sprint("page ", i)}
			for j := range 3 {
				chunk := fmt.Sprintf("%d %d", i, j)
				bun := strings.ToLower(base32.HexEncoding.EncodeToString([]byte(strangeName(chunk)))[:8])
				for _, p := range []string{"_next/static/chunks/" + strangeName(chunk), fmt.Sprintf("new%d/%d", i, j), "bun/chunk-" + bun} {
					files[p+".js"] = chunk + " in " + p
				}
			}
			return files
		}
		w.Publish("r0", build(0))
		k := live.NewKeeper(deaf{w.Registry}, w.Store, live.Options{Side: holdfast.DefaultSide(), Logger: w.config().Logger, Poll: 1000 * time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = k.Run(ctx) })
		synctest.Wait()
		h := serve.NewHandler(k, w.blobs, serve.Options{})
		for i := range 30 {
			files := build(i + 1)
			w.Publish(fmt.Sprint("r", i+1), files)
			var asking sync.WaitGroup
			for p, content := range files {
				if p == "index.html" {
					continue
				}
				asking.Go(func() {
					rec := httptest.NewRecorder()
					h.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, http.MethodGet, "/"+p, nil))
					if rec.Code != http.StatusOK || rec.Body.String() != content {
						t.Errorf("flip %d: %s: %d %q", i, p, rec.Code, rec.Body)
					}
				})
			}
			asking.Wait()
		}
		cancel()
		run.Wait()
	})
}
