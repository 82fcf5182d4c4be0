package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	holdfast "github.com/holdfast-web/holdfast"
)

// verifier passes on the bytes of a reader, and fails instead of passing on the last byte
// if there are more or fewer than size, or if they do not match the digest. It does so at
// the byte that completes the size, not at io.EOF, because some drivers never read
// further.
type verifier struct {
	r    io.Reader
	want holdfast.Digest
	left int64
	sum  hash.Hash
	err  error
}

func newVerifier(r io.Reader, want holdfast.Digest, size int64) *verifier {
	v := &verifier{r: r, want: want, left: size, sum: sha256.New()}
	switch {
	case size < 0:
		v.err = fmt.Errorf("%w: size %d", holdfast.ErrInvalid, size)
	case size == 0:
		v.finish()
	}
	return v
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.r.Read(p[:min(int64(len(p)), v.left)])
	v.sum.Write(p[:n]) //nolint:errcheck // a hash never fails
	v.left -= int64(n)
	switch {
	case v.left == 0:
		if v.finish(); !errors.Is(v.err, io.EOF) {
			return 0, v.err
		}
	case errors.Is(err, io.EOF):
		v.err = fmt.Errorf("%w: %d bytes are missing", holdfast.ErrCorrupt, v.left)
	default:
		v.err = err
	}
	return n, v.err
}

// finish sets the error that ends the reading after size bytes.
func (v *verifier) finish() {
	var got holdfast.Digest
	v.sum.Sum(got[:0])
	var more [1]byte
	n, err := io.ReadFull(v.r, more[:])
	switch {
	case n > 0:
		v.err = fmt.Errorf("%w: more bytes than expected", holdfast.ErrCorrupt)
	case err != io.EOF:
		v.err = err
	case got != v.want:
		v.err = fmt.Errorf("%w: the bytes have the digest %s", holdfast.ErrCorrupt, got)
	default:
		v.err = io.EOF
	}
}
