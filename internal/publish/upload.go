package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
)

// upload stores what the store lacks and returns where everything lies.
func (p *publication) upload(ctx context.Context, found *stock) (*holdfast.Inventory, error) {
	p.progress.phase(PhaseUpload)
	made, err := p.storeAll(ctx, found)
	p.result.Counts = p.progress.counts()
	if err != nil {
		return nil, err
	}
	inv, err := holdfast.NewInventoryIn(p.sweep.Generation, append(found.objects, made...))
	if err != nil {
		return nil, fmt.Errorf("make inventory: %w", err)
	}
	if err := inv.Covers(p.build.Manifest); err != nil {
		return nil, fmt.Errorf("make inventory: %w", err)
	}
	return inv, nil
}

// storeAll encodes and stores blobs in parallel, one a processor.
func (p *publication) storeAll(ctx context.Context, found *stock) (objects []holdfast.Object, err error) {
	encoder, done, err := p.encoder()
	if err != nil {
		return nil, err
	}
	defer done()
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range found.fresh {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := blob{p, encoder, d, p.build.sources[d], found.hurt[d]}
			made, err := b.store(ctx)
			if err != nil {
				return fmt.Errorf("publish %s: %w", b.path, err)
			}
			mu.Lock()
			defer mu.Unlock()
			objects = append(objects, made...)
			p.keep(made)
			p.progress.done(b.size)
			return nil
		})
	}
	return objects, g.Wait()
}

func (p *publication) encoder() (Encoder, func(), error) {
	if p.Encoder != nil {
		return p.Encoder, func() {}, nil
	}
	e, err := coding.NewEncoder(p.Effort)
	if err != nil {
		return nil, nil, err
	}
	return e, func() { _ = e.Close() }, nil // it only frees memory
}

// blob is one content of the build on its way to the store.
type blob struct {
	*publication
	encoder Encoder
	digest  holdfast.Digest
	source
	listed forms // in the inventory of a release, some of them lost
}

// store puts the identity bytes and every encoded form that pays, but for what is
// there already.
func (b blob) store(ctx context.Context) ([]holdfast.Object, error) {
	if b.size > coding.MaxSize {
		return b.storeLarge(ctx)
	}
	identity, err := readFile(b.root.Open, b.path, b.size)
	if err != nil {
		return nil, err
	}
	if holdfast.DigestOf(identity) != b.digest {
		return nil, errChanged(b.path)
	}
	first, err := b.put(ctx, holdfast.Identity, identity)
	if err != nil {
		return nil, err
	}
	objects := []holdfast.Object{first}
	for _, c := range b.codings() {
		if o, ok := b.listed.there(c); ok {
			objects = append(objects, o)
			continue
		}
		if b.listed.without(c) {
			continue
		}
		encoded, err := b.encode(ctx, c, identity)
		if err != nil {
			return nil, err
		}
		if !coding.Pays(b.size, int64(len(encoded))) || c == holdfast.Zstd && smallerBrotli(objects, int64(len(encoded))) {
			continue
		}
		o, err := b.put(ctx, c, encoded)
		if err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// smallerBrotli reports whether there is a brotli form of at most so many bytes. A
// zstd form would never be sent then: whoever takes zstd takes brotli as well, and
// gets the smaller one (docs/decisions/0012).
func smallerBrotli(made []holdfast.Object, size int64) bool {
	return slices.ContainsFunc(made, func(o holdfast.Object) bool { return o.Coding == holdfast.Brotli && o.Size <= size })
}

// codings are those worth trying for the blob.
func (s source) codings() []holdfast.Coding {
	const smallest = 64 // bytes; coding.Pays wants to save as many
	if s.size <= smallest || s.size > coding.MaxSize || !coding.Worthwhile(s.media, s.path) {
		return nil
	}
	return []holdfast.Coding{holdfast.Brotli, holdfast.Gzip, holdfast.Zstd}
}

// encode takes the encoded form that lies beside the file when it decodes to
// the very bytes and pays, and makes one otherwise.
func (b blob) encode(ctx context.Context, c holdfast.Coding, identity []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, s := range b.siblings {
		if s.coding != c || !coding.Pays(b.size, s.size) {
			continue
		}
		found, err := readFile(b.root.Open, s.path, s.size)
		if err == nil {
			err = coding.Verify(c, found, identity)
		}
		if err == nil {
			b.progress.count(func(n *Counts) { n.Verified++ })
			return found, nil
		}
		b.Logger.WarnContext(ctx, "encoded file of the build cannot be used", "path", s.path, "error", err)
	}
	b.progress.count(func(n *Counts) { n.Encoded++ })
	return b.encoder.Encode(c, identity)
}

func (b blob) put(ctx context.Context, c holdfast.Coding, stored []byte) (holdfast.Object, error) {
	d := b.digest
	if c != holdfast.Identity {
		d = holdfast.DigestOf(stored)
	}
	return b.putFrom(ctx, c, d, int64(len(stored)), func() (io.Reader, error) { return bytes.NewReader(stored), nil })
}

// putFrom stores the bytes with the digest stored under the first name that can
// be used. open is called for each attempt.
func (b blob) putFrom(ctx context.Context, c holdfast.Coding, stored holdfast.Digest, size int64, open func() (io.Reader, error)) (o holdfast.Object, err error) {
	o = holdfast.Object{Digest: b.digest, Coding: c, Size: size}
	for {
		o.Name = b.names.choose(stored, b.listed.name(c))
		r, err := open()
		if err != nil {
			return o, err
		}
		created, err := b.Store.PutObject(ctx, o.Name, size, r)
		if errors.Is(err, holdfast.ErrCorrupt) && b.damaged(ctx, o) {
			b.names.spoil(o.Name)
			continue
		}
		if created {
			b.progress.count(func(n *Counts) {
				n.Uploaded++
				n.UploadedBytes += size
				if b.listed.lost(c) {
					n.Restored++
				}
			})
		}
		return o, err
	}
}

// damaged reports whether what the store holds under the object's name is of
// another size.
func (b blob) damaged(ctx context.Context, o holdfast.Object) bool {
	_, err := b.Store.HasObject(ctx, o.Name, o.Size)
	return errors.Is(err, holdfast.ErrCorrupt)
}

// storeLarge copies a file that is too large for memory, identity only. The
// store compares the digest; the copy made here tells whose fault it is when
// that fails.
func (b blob) storeLarge(ctx context.Context) ([]holdfast.Object, error) {
	f, err := b.root.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	h := sha256.New()
	o, err := b.putFrom(ctx, holdfast.Identity, b.digest, b.size, func() (io.Reader, error) {
		h.Reset()
		_, err := f.Seek(0, io.SeekStart)
		return io.TeeReader(f, h), err
	})
	if errors.Is(err, holdfast.ErrCorrupt) && sum(h) != b.digest {
		return nil, errChanged(b.path)
	}
	return []holdfast.Object{o}, err
}

// forecast counts what upload would do. Whether an object that no inventory
// names is in the store, or an encoded form pays, is not found out.
func (p *publication) forecast(found *stock) *Result {
	for _, d := range found.fresh {
		s, listed := p.build.sources[d], found.hurt[d]
		p.progress.count(func(n *Counts) {
			if len(listed) > 0 {
				n.Restored += listed.countLost()
				n.Uploaded += listed.countLost()
				return
			}
			n.Uploaded++
			n.UploadedBytes += s.size
			n.Encoded += len(s.codings())
		})
	}
	p.result.Counts = p.progress.counts()
	return p.result
}
