package publish

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"log/slog"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
)

// contents is where the bytes of a build's blobs come from.
type contents interface {
	// whole returns the identity bytes of a blob, which have its digest.
	whole(ctx context.Context, d holdfast.Digest, s source) ([]byte, error)
	// stream is whole for a blob that is too large for memory: reading fails at
	// the latest with the last byte if the bytes have another digest.
	stream(ctx context.Context, d holdfast.Digest, s source) (io.ReadCloser, error)
	// encoded returns an existing form of identity, verified, or nil.
	encoded(ctx context.Context, d holdfast.Digest, s source, c holdfast.Coding, identity []byte) []byte
	io.Closer
}

// directory is a build found by Scan. A change since then is an error.
type directory struct {
	fs.FS
	io.Closer
	logger *slog.Logger
}

func (d directory) whole(_ context.Context, want holdfast.Digest, s source) ([]byte, error) {
	identity, err := readFile(d.FS, s.path, s.size)
	if err == nil && holdfast.DigestOf(identity) != want {
		err = errChanged(s.path)
	}
	return identity, err
}

func (d directory) stream(_ context.Context, want holdfast.Digest, s source) (io.ReadCloser, error) {
	f, err := d.Open(s.path)
	if err != nil {
		return nil, err
	}
	return &unchanged{f, s.path, want, s.size, sha256.New()}, nil
}

// encoded uses the file beside another if it decodes to that and pays.
func (d directory) encoded(ctx context.Context, _ holdfast.Digest, s source, c holdfast.Coding, identity []byte) []byte {
	for _, sib := range s.siblings {
		if sib.coding != c || !coding.Pays(s.size, sib.size) {
			continue
		}
		found, err := readFile(d.FS, sib.path, sib.size)
		if err == nil {
			err = coding.Verify(c, found, identity)
		}
		if err == nil {
			return found
		}
		d.logger.WarnContext(ctx, "encoded file of the build cannot be used", "path", sib.path, "error", err)
	}
	return nil
}

// unchanged reads a file, and fails at its end if it has changed.
type unchanged struct {
	fs.File
	path string
	want holdfast.Digest
	left int64
	sum  hash.Hash
}

func (u *unchanged) Read(p []byte) (int, error) {
	n, err := u.File.Read(p)
	u.sum.Write(p[:n]) //nolint:errcheck // a hash never fails
	u.left -= int64(n)
	if u.left < 0 || errors.Is(err, io.EOF) && (u.left > 0 || sum(u.sum) != u.want) {
		return 0, errChanged(u.path)
	}
	return n, err
}
