package peer_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/holdfast-web/holdfast/internal/blob"
)

// BenchmarkFetch fetches one object from another node, over loopback, unverified.
func BenchmarkFetch(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h := newHolder(b)
			data := noise(size, 1)
			ref := h.have(b, data)
			m := newMachine(b, secret, h.serve(b, secret, nil))
			p := m.client.For(ref)[0]
			b.SetBytes(int64(size))
			for b.Loop() {
				if n, err := drain(b, p, ref); err != nil || n != ref.Size {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func drain(b *testing.B, p blob.Peer, ref blob.Ref) (int64, error) {
	body, err := p.Open(b.Context(), ref)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.Copy(io.Discard, body)
}
