package serve

import (
	"context"
	"io"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

// warehouse is where a blob.Source fetches.
type warehouse map[holdfast.ObjectName]string

func (w warehouse) OpenObject(_ context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error) {
	text, ok := w[name]
	if !ok {
		return nil, holdfast.ErrNotFound
	}
	if text = text[off:]; n >= 0 {
		text = text[:n]
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// TestLargeBodies: bodies that are too large for memory, whole and in part, from
// the real source, over every protocol.
func TestLargeBodies(t *testing.T) {
	const size = 6*pieceSize + 16
	s := bigSite(size)
	source, err := blob.New(warehouse(objects(s)), blob.Options{Memory: 1 << 20, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	})
	content := s.releases[0].files["big.bin"]
	h := NewHandler(&keeper{table: table(t, "main", s)}, source, Options{})
	for _, transport := range transports(t, h) {
		for rng, want := range map[string]string{
			"": content, "bytes=0-": content, "bytes=5-6": content[5:7], "bytes=262140-600000": content[262140:600001], "bytes=-300000": content[size-300000:],
		} {
			got, err := transport.do(t, wire{method: "GET", target: "/@r/big.bin", fields: []string{"Range", rng}})
			if err != nil || got.err != nil || got.body != want {
				t.Errorf("%s, range %q: %d bytes of %d (%v, %v)", transport.name, rng, len(got.body), len(want), err, got.err)
			}
		}
	}
}
