package blob_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// onePeer is a peer with the contents of a store.
type onePeer struct{ fetcher blob.Fetcher }

func (p onePeer) For(blob.Ref) []blob.Peer { return []blob.Peer{p} }

func (p onePeer) Any() bool { return true }

func (p onePeer) Open(ctx context.Context, ref blob.Ref) (io.ReadCloser, error) {
	return p.fetcher.OpenObject(ctx, ref.Name, 0, -1)
}

func (p onePeer) Reject(blob.Ref, error) {}

// scriptedPeers return scripted answers, one after the other.
type scriptedPeers []*scriptedPeer

type scriptedPeer struct {
	data     []byte
	err      error
	asked    int
	rejected error
}

func (p scriptedPeers) For(blob.Ref) (all []blob.Peer) {
	for _, one := range p {
		all = append(all, one)
	}
	return all
}

func (p scriptedPeers) Any() bool { return len(p) > 0 }

func (p *scriptedPeer) Open(context.Context, blob.Ref) (io.ReadCloser, error) {
	p.asked++
	return io.NopCloser(bytes.NewReader(p.data)), p.err
}

func (p *scriptedPeer) Reject(_ blob.Ref, err error) { p.rejected = err }

// Peers are asked in turn; one with wrong bytes is told so, and does not delay the next.
// The result is cached.
func TestNextPeer(t *testing.T) {
	data := noise(300_000, 1)
	wrong := slices.Clone(data)
	wrong[len(wrong)-1] ^= 1
	for name, cacheDir := range map[string]string{"Memory": "", "Disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			peers := scriptedPeers{{err: holdfast.ErrNotFound}, {err: holdfast.ErrUnavailable}, {data: wrong}, {data: append(wrong, 0)}, {data: data[:10]}, {data: data}, {data: data}}
			b := newNode(t, memstore.New(), blob.Options{Peers: peers, CacheDir: cacheDir})
			b.storeFails()
			ref := blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(len(data))}
			b.wantRead(t, ref, data)
			b.wantRead(t, ref, data)
			for i, p := range peers {
				asked, rejected := i < 6, i >= 2 && i <= 4
				if (p.asked == 1) != asked || errors.Is(p.rejected, holdfast.ErrCorrupt) != rejected {
					t.Errorf("peer %d was asked %d times and rejected with %v", i, p.asked, p.rejected)
				}
			}
			if stats := b.Stats(); stats.Corrupt != 3 || stats.Failed != 0 {
				t.Errorf("Stats = %+v", stats)
			}
		})
	}
}

// Wrong bytes from peers do not make the object corrupt: it is requested again.
func TestWrongPeersAlone(t *testing.T) {
	data := noise(100, 1)
	peers := scriptedPeers{{data: data[1:]}}
	b := newNode(t, memstore.New(), blob.Options{Peers: peers})
	b.storeFails()
	ref := blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(len(data))}
	if _, err := b.read(t.Context(), ref); !errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, holdfast.ErrCorrupt) {
		t.Errorf("read = %v, want ErrUnavailable alone", err)
	}
	peers[0].data = data
	b.wantRead(t, ref, data)
}

// OpenLocal returns local objects, from memory, disk and spool, and asks no other node.
func TestOpenLocal(t *testing.T) {
	small, large := noise(100, 1), noise(2*memory/16, 2)
	for name, cacheDir := range map[string]string{"Spool": "", "Disk": t.TempDir()} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, blob.Options{CacheDir: cacheDir})
			for _, data := range [][]byte{small, large} {
				ref := b.put(t, data)
				if _, err := b.OpenLocal(t.Context(), ref); !errors.Is(err, holdfast.ErrNotFound) {
					t.Errorf("before: %v", err)
				}
				b.wantRead(t, ref, data)
				b.wantLocal(t, ref, data)
			}
			if n := b.Stats().Fetches; n != 2 {
				t.Errorf("%d fetches, want 2", n)
			}
			if cacheDir == "" {
				return
			}
			b.close(t)
			again := newNode(t, memstore.New(), blob.Options{CacheDir: cacheDir})
			for _, data := range [][]byte{small, large} {
				ref := blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(len(data))}
				again.wantLocal(t, ref, data)
				again.wantLocal(t, ref, data)
				other := blob.Ref{Name: ref.Name, Size: ref.Size + 1}
				if _, err := again.OpenLocal(t.Context(), other); !errors.Is(err, holdfast.ErrNotFound) {
					t.Errorf("of another size: %v", err)
				}
				again.wantLocal(t, ref, data)
			}
		})
	}
}

func (b *bench) wantLocal(t *testing.T, ref blob.Ref, data []byte) {
	t.Helper()
	c, err := b.OpenLocal(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v, want %d", len(got), err, len(data))
	}
}
