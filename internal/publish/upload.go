package publish

import (
	"bytes"
	"context"
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

// upload stores missing objects and returns the location of all.
func (p *publication) upload(ctx context.Context, found *stock) (*holdfast.Inventory, error) {
	p.progress.phase(PhaseUpload)
	p.result.Lacking = nil
	made, err := p.storeAll(ctx, found)
	slices.Sort(p.result.Lacking)
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
			lacking := p.lenient && errors.Is(err, errNoBytes) && len(b.listed) > 0
			if err != nil && !lacking {
				return fmt.Errorf("publish %s: %w", b.path, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if lacking {
				objects = append(objects, b.listed.objects()...)
				p.result.Lacking = append(p.result.Lacking, b.path)
				return nil
			}
			objects = append(objects, made...)
			p.rememberObjects(made)
			p.build.remember(made)
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

// store puts the identity bytes and every encoded form that pays, except existing ones.
func (b blob) store(ctx context.Context) ([]holdfast.Object, error) {
	if b.size > coding.MaxSize {
		return b.storeLarge(ctx)
	}
	identity, err := b.contents.whole(ctx, b.digest, b.source)
	if err != nil {
		return nil, err
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

// smallerBrotli reports whether there is a brotli form of at most that many bytes. A zstd
// form would never be sent then: clients that accept zstd also accept brotli, and get the
// smaller one (docs/decisions/0012).
func smallerBrotli(made []holdfast.Object, size int64) bool {
	return slices.ContainsFunc(made, func(o holdfast.Object) bool { return o.Coding == holdfast.Brotli && o.Size <= size })
}

// codings are those worth trying for the blob.
func (s source) codings() []holdfast.Coding {
	const smallest = 64 // bytes; coding.Pays wants to save as many
	if s.bare || holdfast.EncodedInItself(s.path, s.media) != holdfast.Identity || s.size <= smallest || s.size > coding.MaxSize || !coding.Worthwhile(s.media, s.path) {
		return nil
	}
	return []holdfast.Coding{holdfast.Brotli, holdfast.Gzip, holdfast.Zstd}
}

// encode uses an existing encoded form, or makes one.
func (b blob) encode(ctx context.Context, c holdfast.Coding, identity []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if found := b.contents.encoded(ctx, b.digest, b.source, c, identity); found != nil {
		b.progress.count(func(n *Counts) { n.Verified++ })
		return found, nil
	}
	b.progress.count(func(n *Counts) { n.Encoded++ })
	b.progress.busy.Add(1)
	defer b.progress.busy.Add(-1)
	return b.encoder.Encode(c, identity)
}

func (b blob) put(ctx context.Context, c holdfast.Coding, stored []byte) (holdfast.Object, error) {
	d := b.digest
	if c != holdfast.Identity {
		d = holdfast.DigestOf(stored)
	}
	return b.putFrom(ctx, c, d, int64(len(stored)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(stored)), nil })
}

// putFrom stores the bytes with the digest stored under the first name that can
// be used. open is called for each attempt.
func (b blob) putFrom(ctx context.Context, c holdfast.Coding, stored holdfast.Digest, size int64, open func() (io.ReadCloser, error)) (o holdfast.Object, err error) {
	o = holdfast.Object{Digest: b.digest, Coding: c, Size: size}
	for {
		o.Name = b.names.choose(stored, b.listed.name(c))
		r, err := open()
		if err != nil {
			return o, err
		}
		created, err := b.Store.PutObject(ctx, o.Name, size, b.progress.reading(r))
		r.Close() //nolint:errcheck // nothing was written
		if errors.Is(err, holdfast.ErrCorrupt) && b.damaged(ctx, o) {
			b.names.spoil(o.Name)
			continue
		}
		if err == nil && !created && b.distrusts(ctx, o) {
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

// distrusts reports whether an existing object has wrong bytes. Scrub already renames
// those it knows, and a publisher's own objects are as good as the disk: this covers
// objects that appeared unseen.
func (b blob) distrusts(ctx context.Context, o holdfast.Object) bool {
	if b.build.from == nil || o.Name == b.listed.name(o.Coding) {
		return false
	}
	return errors.Is(b.build.from.VerifyObject(ctx, o.Name, o.Size), holdfast.ErrCorrupt)
}

// damaged reports whether the stored object has another size.
func (b blob) damaged(ctx context.Context, o holdfast.Object) bool {
	_, err := b.Store.HasObject(ctx, o.Name, o.Size)
	return errors.Is(err, holdfast.ErrCorrupt)
}

// storeLarge copies a file that is too large for memory, identity only.
func (b blob) storeLarge(ctx context.Context) ([]holdfast.Object, error) {
	o, err := b.putFrom(ctx, holdfast.Identity, b.digest, b.size, func() (io.ReadCloser, error) {
		return b.contents.stream(ctx, b.digest, b.source)
	})
	return []holdfast.Object{o}, err
}

// forecast counts the effect of upload, without finding out whether an object that no
// inventory names is stored, or an encoded form pays.
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
