package publish

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
)

// LoadOptions select the forms that Load returns.
type LoadOptions struct {
	Encoder Encoder      // nil: only encoded files beside the originals are used
	Logger  *slog.Logger // nil discards
	// Keep is called with each stored form, never concurrently: data, which it may
	// keep, or nil for a file that is too large for that; path is the file of the
	// build that holds the bytes, "" for a form that was made.
	Keep func(o holdfast.Object, path string, data []byte)
}

// Load reads a build for a process that serves it from memory and stores it nowhere. It
// returns the inventory of everything given to Keep.
func (b *Build) Load(ctx context.Context, o LoadOptions) (*holdfast.Inventory, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	from, err := b.open(o.Logger)
	if err != nil {
		return nil, err
	}
	defer from.Close() //nolint:errcheck // nothing was written
	l := loading{LoadOptions: o, from: from}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for d, s := range b.sources {
		g.Go(func() error {
			if err := l.load(ctx, d, s); err != nil {
				return fmt.Errorf("load %s: %w", s.path, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return holdfast.NewInventory(l.objects)
}

// loading is one run of Load.
type loading struct {
	LoadOptions
	from contents

	mu      sync.Mutex
	objects []holdfast.Object
}

// load hands out the forms of one blob.
func (l *loading) load(ctx context.Context, d holdfast.Digest, s source) error {
	first := holdfast.Object{Digest: d, Name: holdfast.ObjectName{Digest: d}, Size: s.size}
	if s.size > coding.MaxSize {
		l.add(first, s.path, nil)
		return nil
	}
	identity, err := l.from.whole(ctx, d, s)
	if err != nil {
		return err
	}
	l.add(first, s.path, identity)
	made := []holdfast.Object{first}
	for _, c := range s.codings() {
		path, encoded, err := l.encode(ctx, d, s, c, identity)
		size := int64(len(encoded))
		if err != nil {
			return err
		}
		if encoded == nil || !coding.Pays(s.size, size) || c == holdfast.Zstd && smallerBrotli(made, size) {
			continue
		}
		o := holdfast.Object{Digest: d, Coding: c, Size: size, Name: holdfast.ObjectName{Digest: holdfast.DigestOf(encoded)}}
		made = append(made, o)
		l.add(o, path, encoded)
	}
	return nil
}

// encode returns a form and its file; nothing if there is none and none is to be made.
func (l *loading) encode(ctx context.Context, d holdfast.Digest, s source, c holdfast.Coding, identity []byte) (path string, encoded []byte, err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	if found := l.from.encoded(ctx, d, s, c, identity); found != nil {
		i := slices.IndexFunc(s.siblings, func(beside sibling) bool { return beside.coding == c })
		return s.siblings[i].path, found, nil
	}
	if l.Encoder != nil {
		encoded, err = l.Encoder.Encode(c, identity)
	}
	return "", encoded, err
}

func (l *loading) add(o holdfast.Object, path string, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.objects = append(l.objects, o)
	l.Keep(o, path, data)
}
