package bucketstore

import (
	"context"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/holdfast-web/holdfast/internal/store"
)

// page is how many keys one request lists.
const page = 1000

// List implements store.Driver. Objects whose names are not keys are skipped.
func (d *Driver) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if !isPrefix(prefix) {
			return // of no key
		}
		for info, err := range d.list(ctx, prefix, after, page) {
			if err != nil {
				yield(store.Info{}, d.fail(ctx, "list", prefix, err))
				return
			}
			if store.CheckKey(info.Key) == nil && !yield(info, nil) {
				return
			}
		}
	}
}

// isPrefix reports whether keys may start with s.
func isPrefix(s string) bool {
	return s == "" || store.CheckKey(s) == nil || store.CheckKey(s+"x") == nil
}

// list yields the contents of the bucket, restarting after the last key when a request
// fails.
func (d *Driver) list(ctx context.Context, prefix, after string, size int) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		for {
			progress := false
			err := d.try(ctx, func(ctx context.Context) error {
				for info, err := range d.pages(ctx, prefix, after, size) {
					if err != nil {
						return err
					}
					after, progress = info.Key, true
					if !yield(info, nil) {
						return nil
					}
				}
				return nil
			})
			if err == nil {
				return
			}
			if !progress || ctx.Err() != nil {
				yield(store.Info{}, err)
				return
			}
		}
	}
}

// pages yields the keys after a key, until a request fails.
func (d *Driver) pages(ctx context.Context, prefix, after string, size int) iter.Seq2[store.Info, error] {
	noOwner := false
	opts := minio.ListObjectsOptions{Prefix: d.object(prefix), Recursive: true, MaxKeys: size, FetchOwner: &noOwner}
	if after != "" {
		opts.StartAfter = d.object(after)
	}
	return func(yield func(store.Info, error) bool) {
		for o := range d.core.ListObjectsIter(ctx, d.bucket, opts) {
			if err := ctx.Err(); err != nil {
				yield(store.Info{}, err)
				return
			}
			info := store.Info{Key: strings.TrimPrefix(o.Key, d.prefix), Size: o.Size, Created: o.LastModified}
			if !yield(info, o.Err) || o.Err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the library ends silently
			yield(store.Info{}, err)
		}
	}
}
