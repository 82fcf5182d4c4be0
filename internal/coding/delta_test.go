package coding

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

func deltaCodings() []holdfast.Coding {
	return []holdfast.Coding{holdfast.DeltaBrotli, holdfast.DeltaZstd}
}

// edited is b with some words in its middle exchanged.
func edited(b []byte) []byte {
	return bytes.Replace(b, b[len(b)/2:len(b)/2+20], []byte("a few other words, which are longer"), 1)
}

func TestDelta(t *testing.T) {
	old := text(1, 200_000)
	for name, in := range map[string][]byte{
		"edited": edited(old), "equal": old, "moved": append(slices.Clone(old[100_000:]), old[:100_000]...), "a byte": {'x'}, "unrelated": text(9, 50_000),
	} {
		for _, c := range deltaCodings() {
			t.Run(fmt.Sprintf("%s/%s", name, c), func(t *testing.T) {
				delta, err := Delta(c, old, in)
				if err != nil {
					t.Fatal(err)
				}
				again, err := Delta(c, slices.Clone(old), slices.Clone(in))
				if err != nil || !bytes.Equal(delta, again) {
					t.Errorf("the second delta is another one (%v)", err)
				}
				if back, err := DecodeDelta(c, old, delta, int64(len(in))); err != nil || !bytes.Equal(back, in) {
					t.Errorf("decoded %d bytes, %v", len(back), err)
				}
				if most := 1000; name != "unrelated" && len(delta) > most {
					t.Errorf("%d bytes, want %d at most", len(delta), most)
				}
			})
		}
	}
}

// The header is that of RFC 9842: clients compare the digest with that of their
// dictionary.
func TestDeltaHeader(t *testing.T) {
	old := text(1, 1000)
	digest := holdfast.DigestOf(old)
	for c, magic := range map[holdfast.Coding]string{
		holdfast.DeltaBrotli: "\xff\x44\x43\x42", holdfast.DeltaZstd: "\x5e\x2a\x4d\x18\x20\x00\x00\x00",
	} {
		delta, err := Delta(c, old, old)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(delta, append([]byte(magic), digest[:]...)) {
			t.Errorf("%s begins with % x", c, delta[:40])
		}
	}
}

// Clients refuse a frame that names a dictionary by number, because theirs have none. The
// window is no larger than they accept, and the checksum is on.
func TestDeltaZstdFrame(t *testing.T) {
	for _, size := range []int{1000, 300_000, 9 << 20} {
		old := text(1, size)
		delta, err := Delta(holdfast.DeltaZstd, old, edited(old))
		if err != nil {
			t.Fatal(err)
		}
		frame := delta[40:]
		if got := binary.LittleEndian.Uint32(frame); got != 0xfd2fb528 {
			t.Fatalf("the frame begins with %x", got)
		}
		descriptor := frame[4]
		if descriptor&3 != 0 {
			t.Errorf("size %d: the frame names a dictionary", size)
		}
		if descriptor&4 == 0 {
			t.Errorf("size %d: the frame has no checksum", size)
		}
		if descriptor&0x20 == 0 { // not one segment: the window is given
			exponent, mantissa := frame[5]>>3, frame[5]&7
			window := (1 << (10 + exponent)) / 8 * (8 + int(mantissa))
			if most := max(8<<20, size+size/4); window > most {
				t.Errorf("size %d: the window is %d, more than %d", size, window, most)
			}
		}
		// Beyond the window the dictionary is out of reach.
		if size < 8<<20 && len(delta) > size/100+1000 {
			t.Errorf("size %d: the delta has %d bytes", size, len(delta))
		}
	}
}

func TestDeltaRefuses(t *testing.T) {
	old := text(1, 1000)
	for name, err := range map[string]error{
		"other coding":     second(Delta(holdfast.Brotli, old, old)),
		"no dictionary":    second(Delta(holdfast.DeltaBrotli, nil, old)),
		"nothing":          second(Delta(holdfast.DeltaZstd, old, nil)),
		"large":            second(Delta(holdfast.DeltaBrotli, old, make([]byte, holdfast.MaxDelta+1))),
		"large dictionary": second(Delta(holdfast.DeltaBrotli, make([]byte, holdfast.MaxDelta+1), old)),
	} {
		if !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestDecodeDeltaRefuses(t *testing.T) {
	old, in := text(1, 5000), text(2, 5000)
	for _, c := range deltaCodings() {
		delta, err := Delta(c, old, in)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(delta)
		flipped[len(flipped)/2] ^= 1
		for name, err := range map[string]error{
			"other dictionary": second(DecodeDelta(c, in, delta, 5000)),
			"cut":              second(DecodeDelta(c, old, delta[:len(delta)-8], 5000)),
			"shorter":          second(DecodeDelta(c, old, delta, 4999)),
			"longer":           second(DecodeDelta(c, old, delta, 5001)),
			"empty":            second(DecodeDelta(c, old, nil, 5000)),
		} {
			if !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
		if _, err := DecodeDelta(c, old, flipped, 5000); c == holdfast.DeltaZstd && !errors.Is(err, holdfast.ErrCorrupt) {
			t.Errorf("%s: a flipped bit was not seen: %v", c, err) // brotli has no checksum
		}
	}
}

func FuzzDecodeDelta(f *testing.F) {
	old, in := text(1, 2000), edited(text(1, 2000))
	for _, c := range deltaCodings() {
		delta, err := Delta(c, old, in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(c), delta)
	}
	f.Fuzz(func(t *testing.T, c byte, encoded []byte) {
		out, err := DecodeDelta(holdfast.Coding(c), old, encoded, 2000)
		if (err == nil) != (len(out) == 2000) {
			t.Errorf("%d bytes, %v", len(out), err)
		}
		if err != nil && !errors.Is(err, holdfast.ErrCorrupt) {
			t.Error(err)
		}
	})
}
