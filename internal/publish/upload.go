package publish

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// maxLookups bounds how many inventories a publish reads in search of what it
// can reuse. What lies further back is encoded again, to the same bytes.
const maxLookups = 64

// upload stores what the store lacks and returns where everything lies.
func (p *publication) upload(ctx context.Context) (*holdfast.Inventory, error) {
	p.progress.phase(PhaseUpload)
	objects, fresh, err := p.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	made, err := p.storeAll(ctx, fresh)
	p.result.Counts = p.progress.counts()
	if err != nil {
		return nil, err
	}
	inv, err := holdfast.NewInventoryIn(p.sweep.Generation, append(objects, made...))
	if err != nil {
		return nil, fmt.Errorf("make inventory: %w", err)
	}
	if err := inv.Covers(p.build.Manifest); err != nil {
		return nil, fmt.Errorf("make inventory: %w", err)
	}
	return inv, nil
}

// lookUp finds the blobs of the build in the inventories of releases that are
// not gone. Their objects are roots, and so are there; that no such release goes
// until the new one is added is checked with it. Reused blobs keep the encoded
// forms they have, whatever effort made those. fresh are the other blobs, the
// largest first, so that the processors finish together.
func (p *publication) lookUp(ctx context.Context) (objects []holdfast.Object, fresh []holdfast.Digest, err error) {
	missing := maps.Clone(p.build.sources)
	for d, made := range p.made {
		objects = append(objects, made...)
		p.progress.done(missing[d].size)
		delete(missing, d)
	}
	for _, r := range p.candidates() {
		if len(missing) == 0 {
			break
		}
		inv, err := p.Store.Inventory(ctx, r.Inventory)
		if errors.Is(err, holdfast.ErrNotFound) || errors.Is(err, holdfast.ErrCorrupt) {
			p.Logger.WarnContext(ctx, "inventory cannot be used again", "release", r.ID, "error", err)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, p.reuse(r.ID, inv, missing)...)
	}
	fresh = slices.SortedFunc(maps.Keys(missing), func(a, b holdfast.Digest) int {
		return cmp.Or(cmp.Compare(missing[b].size, missing[a].size), bytes.Compare(a[:], b[:]))
	})
	return objects, fresh, nil
}

// candidates are the releases whose inventories are worth reading, those of the
// very same build first.
func (p *publication) candidates() []registry.ReleaseInfo {
	alive := slices.DeleteFunc(slices.Clone(p.releases), func(r registry.ReleaseInfo) bool { return r.State == holdfast.Gone })
	slices.SortStableFunc(alive, func(a, b registry.ReleaseInfo) int {
		same := func(r registry.ReleaseInfo) int {
			if r.Manifest == p.build.Manifest.Digest() {
				return 0
			}
			return 1
		}
		return same(a) - same(b)
	})
	return alive[:min(len(alive), maxLookups)]
}

// reuse moves what inv holds from missing to the objects it returns.
func (p *publication) reuse(id holdfast.ReleaseID, inv *holdfast.Inventory, missing map[holdfast.Digest]source) (objects []holdfast.Object) {
	for d, s := range missing {
		have := inv.Of(d)
		if len(have) == 0 || have[0].Coding != holdfast.Identity || have[0].Size != s.size {
			continue
		}
		objects = append(objects, have...)
		delete(missing, d)
		p.reusedFrom[id] = true
		p.progress.count(func(c *Counts) { c.Reused++; c.ReusedBytes += s.size })
		p.progress.done(s.size)
	}
	return objects
}

// storeAll encodes and stores blobs in parallel, one a processor.
func (p *publication) storeAll(ctx context.Context, blobs []holdfast.Digest) (objects []holdfast.Object, err error) {
	encoder, done, err := p.encoder()
	if err != nil {
		return nil, err
	}
	defer done()
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range blobs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := blob{p, encoder, d, p.build.sources[d]}
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
}

// store puts the identity bytes and every encoded form that pays.
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
		encoded, err := b.encode(ctx, c, identity)
		if err != nil {
			return nil, err
		}
		if !coding.Pays(b.size, int64(len(encoded))) {
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
	o := holdfast.Object{Digest: b.digest, Coding: c, Size: int64(len(stored)), Name: b.objectName(b.digest)}
	if c != holdfast.Identity {
		o.Name = b.objectName(holdfast.DigestOf(stored))
	}
	return o, b.putFrom(ctx, o, bytes.NewReader(stored))
}

func (b blob) putFrom(ctx context.Context, o holdfast.Object, r io.Reader) error {
	created, err := b.Store.PutObject(ctx, o.Name, o.Size, r)
	if created {
		b.progress.count(func(n *Counts) { n.Uploaded++; n.UploadedBytes += o.Size })
	}
	return err
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
	o := holdfast.Object{Digest: b.digest, Size: b.size, Name: b.objectName(b.digest)}
	err = b.putFrom(ctx, o, io.TeeReader(f, h))
	if errors.Is(err, holdfast.ErrCorrupt) && sum(h) != b.digest {
		return nil, errChanged(b.path)
	}
	return []holdfast.Object{o}, err
}

// forecast counts what upload would do. Whether an object that no inventory
// names is in the store, or an encoded form pays, is not found out.
func (p *publication) forecast(ctx context.Context) error {
	_, fresh, err := p.lookUp(ctx)
	if err != nil {
		return err
	}
	for _, d := range fresh {
		s := p.build.sources[d]
		p.progress.count(func(n *Counts) {
			n.Uploaded++
			n.UploadedBytes += s.size
			n.Encoded += len(s.codings())
		})
	}
	p.result.Counts = p.progress.counts()
	return nil
}
