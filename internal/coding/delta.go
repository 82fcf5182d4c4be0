package coding

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"

	holdfast "github.com/holdfast-web/holdfast"
)

// deltaLevel is the brotli level of deltas. Level 11 saves another sixth to a fifth and
// takes fifty times as long, and deltas are made while requests are answered.
const deltaLevel = 5

// Delta returns identity in coding c, DeltaBrotli or DeltaZstd, for a client that has
// dictionary: the whole content of an answer, with the header of RFC 9842, sections 4.1
// and 4.2. It was checked by decoding it, and depends only on the arguments. Empty input,
// more than holdfast.MaxDelta bytes, and other codings are holdfast.ErrInvalid.
func Delta(c holdfast.Coding, dictionary, identity []byte) ([]byte, error) {
	for _, b := range [][]byte{dictionary, identity} {
		if len(b) == 0 || len(b) > holdfast.MaxDelta {
			return nil, fmt.Errorf("%w: no delta is made of %d bytes: want 1 to %d", holdfast.ErrInvalid, len(b), holdfast.MaxDelta)
		}
	}
	out := bytes.NewBuffer(deltaHeader(c, dictionary))
	var err error
	switch c {
	case holdfast.DeltaBrotli:
		err = deltaBrotli(out, dictionary, identity)
	case holdfast.DeltaZstd:
		err = deltaZstd(out, dictionary, identity)
	default:
		err = fmt.Errorf("%w: not a coding of deltas", holdfast.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c, err)
	}
	back, err := DecodeDelta(c, dictionary, out.Bytes(), int64(len(identity)))
	if err == nil && !bytes.Equal(back, identity) {
		err = corrupt(c, fmt.Errorf("decodes to other bytes than were encoded"))
	}
	if err != nil {
		return nil, fmt.Errorf("check delta: %w", err)
	}
	return out.Bytes(), nil
}

// deltaHeader is the start of the content: a magic number, and the digest of the
// dictionary. For dcz it is a frame that zstd decoders skip.
func deltaHeader(c holdfast.Coding, dictionary []byte) []byte {
	magic := []byte{0xff, 'D', 'C', 'B'}
	if c == holdfast.DeltaZstd {
		magic = []byte{0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0}
	}
	d := holdfast.DigestOf(dictionary)
	return append(magic, d[:]...)
}

func deltaBrotli(out *bytes.Buffer, dictionary, identity []byte) error {
	prepared, err := brotli.PrepareDictionary(dictionary)
	if err != nil {
		return err
	}
	w, err := brotli.NewWriterOptions(out, deltaLevel, brotli.WriterOptions{
		LGWin: windowBits(len(identity)), SizeHint: uint(len(identity)), Dictionaries: []*brotli.PreparedDictionary{prepared},
	})
	if err != nil {
		return err
	}
	_, err = finish(out, w, identity)
	return err
}

func deltaZstd(out *bytes.Buffer, dictionary, identity []byte) error {
	w, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true),
		zstd.WithWindowSize(deltaWindow(len(dictionary), len(identity))), zstd.WithEncoderDictRaw(0, dictionary))
	if err != nil {
		return err
	}
	_, err = finish(out, w, identity)
	return err
}

// deltaWindow is the size in bytes of a zstd window: the dictionary can be referenced
// only while all of the output is inside it (RFC 8878, section 3.1.1.1.2), and clients
// accept 8 MiB or five quarters of the dictionary (RFC 9842, section 4.2).
func deltaWindow(dictionary, identity int) int {
	want := 1 << max(bits.Len(uint(dictionary+identity)), 16)
	for want > max(8<<20, dictionary+dictionary/4) {
		want /= 2
	}
	return want
}

// DecodeDelta is Decode for a delta with its dictionary.
func DecodeDelta(c holdfast.Coding, dictionary, encoded []byte, size int64) ([]byte, error) {
	header := deltaHeader(c, dictionary)
	if !bytes.HasPrefix(encoded, header) {
		return nil, corrupt(c, fmt.Errorf("is no delta, or one for another dictionary"))
	}
	rest := bytes.NewReader(encoded[len(header):])
	var r io.Reader
	var err error
	switch c {
	case holdfast.DeltaBrotli:
		r, err = brotli.NewReaderOptions(rest, brotli.ReaderOptions{Dictionaries: [][]byte{dictionary}})
	case holdfast.DeltaZstd:
		var z *zstd.Decoder
		z, err = zstd.NewReader(rest, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(max(maxZstdWindow, len(dictionary)+len(dictionary)/4))), zstd.WithDecoderDictRaw(0, dictionary))
		if err == nil {
			defer z.Close()
		}
		r = z
	default:
		err = fmt.Errorf("%w: no decoder", holdfast.ErrInvalid)
	}
	if err != nil {
		return nil, corrupt(c, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return nil, corrupt(c, err)
	case int64(len(out)) != size:
		return nil, corrupt(c, fmt.Errorf("decodes to %d bytes or more, want %d", len(out), size))
	}
	return out, nil
}
