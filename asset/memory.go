package asset

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// inPlace is the size in bytes from which a file that is part of the program is
// sent from there, and not copied.
const inPlace = 64 << 10

// memory holds the bytes of a build. Other files are either part of the program, or
// fetched from the file system by a blob.Source, which verifies them. It does not change
// once it is open.
type memory struct {
	place publish.Place
	limit int64
	used  int64
	held  map[blob.Ref][]byte
	still map[blob.Ref]io.ReaderAt       // files of the program
	paths map[holdfast.ObjectName]string // of files that are fetched
	rest  *blob.Source                   // nil if there are none
}

var (
	_ serve.Blobs  = (*memory)(nil)
	_ blob.Fetcher = (*memory)(nil)
)

func newMemory(p publish.Place, limit int64) *memory {
	return &memory{
		place: p, limit: limit, held: make(map[blob.Ref][]byte),
		still: make(map[blob.Ref]io.ReaderAt), paths: make(map[holdfast.ObjectName]string),
	}
}

// add stores a form while the build is loaded; see publish.LoadOptions.
func (m *memory) add(o holdfast.Object, path string, data []byte) {
	ref := blob.Ref{Name: o.Name, Size: o.Size}
	if path != "" && o.Size >= inPlace {
		if f := m.ofProgram(path); f != nil {
			m.still[ref] = f
			return
		}
	}
	fits := o.Size <= m.limit/16 && m.used+o.Size <= m.limit
	if data != nil && (fits || path == "") { // a generated form exists nowhere else
		m.held[ref], m.used = data, m.used+o.Size
		return
	}
	m.paths[o.Name] = path
}

// ofProgram returns the file at path if its bytes are part of the program or of its
// memory, like those of an embed.FS: the file can be read anywhere, and has neither a
// time nor a system behind it. The bytes were verified when the build was read, and stay.
func (m *memory) ofProgram(path string) io.ReaderAt {
	f, err := m.place.Open(path)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	at, ok := f.(io.ReaderAt)
	if err == nil && ok && info.ModTime().IsZero() && info.Sys() == nil {
		return at // never closed: there is nothing to close
	}
	_ = f.Close() // was not even read
	return nil
}

// open creates the source of files that are not in memory.
func (m *memory) open(log *slog.Logger) (err error) {
	if len(m.paths) > 0 {
		m.rest, err = blob.New(m, blob.Options{Memory: m.limit, Logger: log})
	}
	return err
}

// Hot implements serve.Blobs.
func (m *memory) Hot(ref blob.Ref) ([]byte, bool) {
	data, ok := m.held[ref]
	if !ok && m.rest != nil {
		return m.rest.Hot(ref)
	}
	return data, ok
}

// Open implements serve.Blobs.
func (m *memory) Open(ctx context.Context, ref blob.Ref) (blob.Content, error) {
	if at, ok := m.still[ref]; ok {
		return content{at, ref.Size, io.NopCloser(nil)}, nil
	}
	if m.rest == nil {
		return nil, fmt.Errorf("open %s: %w", ref.Name, holdfast.ErrNotFound)
	}
	return m.rest.Open(ctx, ref)
}

// OpenObject implements blob.Fetcher over the files of the build.
func (m *memory) OpenObject(_ context.Context, name holdfast.ObjectName, off, n int64) (io.ReadCloser, error) {
	path, ok := m.paths[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, holdfast.ErrNotFound)
	}
	f, err := m.place.Open(path)
	if err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, f, off); err != nil {
		_ = f.Close() // was only read
		return nil, fmt.Errorf("read %s from %d: %w", path, off, err)
	}
	if n < 0 {
		return f, nil
	}
	return section{io.LimitReader(f, n), f}, nil
}

// Close ends the fetching.
func (m *memory) Close() error {
	if m.rest == nil {
		return nil
	}
	return m.rest.Close()
}

type section struct {
	io.Reader
	io.Closer
}

// content is a file that is read from its source.
type content struct {
	io.ReaderAt
	size int64
	io.Closer
}

func (c content) Size() int64 { return c.size }
