// Package coding makes and checks the encoded forms of files: brotli (RFC 7932), gzip
// (RFC 1952) and zstd (RFC 8878). It alone imports codecs.
//
// It guarantees three properties of every encoded form. It was decoded and compared with
// the identity bytes, so a codec bug never reaches a browser. It depends only on the
// input, the coding and the effort, so two publishers of one build write the same
// objects. And it needs no larger window than browsers grant: 16 MiB of brotli (lgwin 24,
// no large windows), 8 MiB of zstd (RFC 9659).
package coding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"

	holdfast "github.com/holdfast-web/holdfast"
)

// MaxSize is the size in bytes above which a file is not encoded. An Encoder holds a file
// and one encoded form in memory at a time, and larger files are rarely text.
const MaxSize = 64 << 20

// maxBest is the size in bytes above which brotli 9 replaces brotli 11, which encodes
// about half a megabyte a second.
const maxBest = 16 << 20

// maxZstdWindow is the limit of RFC 9659 for servers.
const maxZstdWindow = 8 << 20

// Effort is the trade-off between encoding time and size.
type Effort string

// The efforts. Fast takes about a fifteenth of the time and produces 4 to 16 % more
// bytes.
const (
	Best Effort = "best" // brotli 11, gzip 9, the best zstd of pure Go
	Fast Effort = "fast" // brotli 5, gzip 6, the default zstd
)

// Encoder encodes at one effort. It may be used concurrently. Close it to free its
// memory.
type Encoder struct {
	effort Effort
	zstd   *zstd.Encoder
}

// NewEncoder returns an encoder that runs up to GOMAXPROCS encodings at a time
// at full speed.
func NewEncoder(e Effort) (*Encoder, error) {
	level := zstd.SpeedDefault
	if e == Best {
		level = zstd.SpeedBestCompression
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithWindowSize(maxZstdWindow),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	return &Encoder{effort: e, zstd: z}, nil
}

// Close frees the encoder's memory. Encode must not be running or be called afterwards.
func (e *Encoder) Close() error { return e.zstd.Close() }

// Encode returns identity in coding c, checked by decoding it. It fails for more than
// MaxSize bytes and when the check fails.
func (e *Encoder) Encode(c holdfast.Coding, identity []byte) ([]byte, error) {
	if len(identity) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes are more than the %d that are encoded", holdfast.ErrInvalid, len(identity), MaxSize)
	}
	encoded, err := e.encode(c, identity)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", c, err)
	}
	if err := Verify(c, encoded, identity); err != nil {
		return nil, fmt.Errorf("check encoded bytes: %w", err)
	}
	return encoded, nil
}

func (e *Encoder) encode(c holdfast.Coding, identity []byte) ([]byte, error) {
	switch c {
	case holdfast.Brotli:
		return e.brotli(identity)
	case holdfast.Gzip:
		return e.gzip(identity)
	case holdfast.Zstd:
		return e.zstd.EncodeAll(identity, nil), nil
	}
	return nil, fmt.Errorf("%w: nothing to do", holdfast.ErrInvalid)
}

func (e *Encoder) brotli(identity []byte) ([]byte, error) {
	level := 5
	switch {
	case e.effort == Best && len(identity) <= maxBest:
		level = 11
	case e.effort == Best:
		level = 9
	}
	var out bytes.Buffer
	w, err := brotli.NewWriterOptions(&out, level, brotli.WriterOptions{LGWin: windowBits(len(identity)), SizeHint: uint(len(identity))})
	if err != nil {
		return nil, err
	}
	return finish(&out, w, identity)
}

// windowBits returns the smallest window that covers n bytes, from 64 kB, so that small
// files cost a browser little memory, to 16 MiB, the limit of RFC 7932.
func windowBits(n int) int { return min(max(bits.Len(uint(n+16)), 16), 24) }

// gzip leaves the header's name and time empty, because they would differ by machine.
func (e *Encoder) gzip(identity []byte) ([]byte, error) {
	level := gzip.BestCompression
	if e.effort == Fast {
		level = 6
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		return nil, err
	}
	w.ModTime = time.Unix(0, 0) // the zero Time would be written as a date in 2042
	return finish(&out, w, identity)
}

func finish(out *bytes.Buffer, w io.WriteCloser, identity []byte) ([]byte, error) {
	if _, err := w.Write(identity); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
