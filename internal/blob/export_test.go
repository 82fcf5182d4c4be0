package blob

import "github.com/holdfast-web/holdfast/internal/durable"

// CacheIn returns o with a disk cache in fsys.
func CacheIn(fsys durable.FS, o Options) Options {
	o.openCache = func() (directory, error) {
		return newDirectory(fsys, func() error { return nil }), nil
	}
	return o
}

// Listed is closed when the disk cache has listed all files of earlier processes.
func (s *Source) Listed() <-chan struct{} { return s.cache.scanned }
