package coding

import (
	"bufio"
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"

	holdfast "github.com/holdfast-web/holdfast"
)

// Decode returns the size identity bytes that encoded contains in coding c. It never
// produces more than one byte beyond size, regardless of encoded. Any defect of encoded,
// including trailing bytes, is holdfast.ErrCorrupt.
func Decode(c holdfast.Coding, encoded []byte, size int64) ([]byte, error) {
	var out bytes.Buffer
	if err := decodeTo(&out, c, encoded, size); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Verify reports whether encoded decodes to exactly identity, without trailing data, in a
// way that browsers support. It keeps no decoded copy.
func Verify(c holdfast.Coding, encoded, identity []byte) error {
	return decodeTo(&comparer{rest: identity}, c, encoded, int64(len(identity)))
}

func decodeTo(w io.Writer, c holdfast.Coding, encoded []byte, size int64) error {
	if len(encoded) == 0 && c != holdfast.Identity {
		return corrupt(c, io.ErrUnexpectedEOF)
	}
	// The last byte is passed separately: it is read if and only if the stream does not
	// end before it.
	cut := max(len(encoded)-1, 0)
	last := bytes.NewReader(encoded[cut:])
	r, done, err := newReader(c, io.MultiReader(bytes.NewReader(encoded[:cut]), last))
	if err != nil {
		return corrupt(c, err)
	}
	defer done()
	n, err := io.Copy(w, io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return corrupt(c, err)
	case n != size:
		return corrupt(c, fmt.Errorf("decodes to %d bytes or more, want %d", n, size))
	case last.Len() > 0:
		return corrupt(c, fmt.Errorf("has bytes after its end"))
	}
	return nil
}

func corrupt(c holdfast.Coding, cause error) error {
	return fmt.Errorf("decode %s: %w: %w", c, holdfast.ErrCorrupt, cause)
}

// newReader returns a decoder of r and a function that frees it.
func newReader(c holdfast.Coding, r io.Reader) (io.Reader, func(), error) {
	switch c {
	case holdfast.Identity:
		return r, func() {}, nil
	case holdfast.Brotli:
		b := brotli.NewReader(r)
		return b, func() { _ = b.Close() }, nil // it only frees memory
	case holdfast.Gzip:
		// The standard library's decoder is independent of the encoder.
		z, err := stdgzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return nil, nil, err
		}
		z.Multistream(false) // not all browsers read on
		return z, func() {}, nil
	case holdfast.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("%w: no decoder", holdfast.ErrInvalid)
}

// comparer compares written bytes with rest.
type comparer struct{ rest []byte }

func (c *comparer) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(c.rest, p) {
		return 0, fmt.Errorf("decodes to other bytes than were encoded")
	}
	c.rest = c.rest[len(p):]
	return len(p), nil
}
