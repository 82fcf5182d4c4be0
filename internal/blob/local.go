package blob

import (
	"context"
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
)

// OpenLocal returns the verified bytes of ref if they are on this machine: in memory, in
// the spool or in the disk cache. It neither asks the store or peers nor waits for
// fetches from there: peers ask each other through it, and must not go in circles.
// ErrNotFound if they are elsewhere, or of another size: the caller may be wrong about
// the size, and must not cost us the file. The caller closes the content.
func (s *Source) OpenLocal(ctx context.Context, ref Ref) (Content, error) {
	if s.forbidden(ref.Name) {
		return nil, fmt.Errorf("open blob %s here: %w", ref.Name, errTakenDown())
	}
	if data, ok := s.memory.GetIfPresent(ref); ok {
		return memoryContent(data), nil
	}
	if file := s.spool.acquire(ref); file != nil {
		return &fileContent{file: file}, nil
	}
	if file := s.cache.acquire(ref); file != nil {
		return &fileContent{file: file}, nil
	}
	if s.cache == nil || !s.cache.index.has(ref) {
		return nil, fmt.Errorf("open blob %s here: %w", ref.Name, holdfast.ErrNotFound)
	}
	o := s.cache.fetch(ctx, ref, s.bufferFor(ref))
	switch {
	case o.err != nil:
		return nil, fmt.Errorf("open blob %s here: %w", ref.Name, o.err)
	case o.file != nil:
		o.file.home.add(o.file, 1)
		return &fileContent{file: o.file}, nil
	}
	return memoryContent(o.data), nil
}
