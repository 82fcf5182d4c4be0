package coding

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	brotli "github.com/molecule-man/go-brrr"

	holdfast "github.com/holdfast-web/holdfast"
)

// text looks like a minified script: words from a small vocabulary, never the same twice.
func text(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		fmt.Fprintf(&b, "function f%d(a,b){return a.p%d+b[%d]}", r.IntN(500), r.IntN(90), r.IntN(1e6))
	}
	return b.Bytes()[:n]
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(b)
	return b
}

func newEncoder(t testing.TB, e Effort) *Encoder {
	t.Helper()
	enc, err := NewEncoder(e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { enc.Close() })
	return enc
}

func encodings() []holdfast.Coding {
	return []holdfast.Coding{holdfast.Brotli, holdfast.Gzip, holdfast.Zstd}
}

func TestEncodeRoundTrip(t *testing.T) {
	inputs := map[string][]byte{
		"empty": {}, "byte": {'x'}, "text": text(1, 50_000), "noise": noise(10_000), "zeros": make([]byte, 300_000),
	}
	for _, effort := range []Effort{Best, Fast} {
		enc := newEncoder(t, effort)
		for name, in := range inputs {
			for _, c := range encodings() {
				t.Run(fmt.Sprintf("%s/%s/%s", effort, name, c), func(t *testing.T) {
					out, err := enc.Encode(c, in)
					if err != nil {
						t.Fatal(err)
					}
					back, err := Decode(c, out, int64(len(in)))
					if err != nil || !bytes.Equal(back, in) {
						t.Errorf("decoded %d bytes, %v", len(back), err)
					}
				})
			}
		}
	}
}

func TestBestIsSmaller(t *testing.T) {
	in := text(2, 60_000)
	best, fast := newEncoder(t, Best), newEncoder(t, Fast)
	for _, c := range encodings() {
		b, err := best.Encode(c, in)
		if err != nil {
			t.Fatal(err)
		}
		f, err := fast.Encode(c, in)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(f) || !Pays(int64(len(in)), int64(len(b))) {
			t.Errorf("%s: best %d bytes, fast %d, identity %d", c, len(b), len(f), len(in))
		}
	}
}

// A new encoder and a used one, alone or in parallel, produce the same bytes.
func TestEncodeIsDeterministic(t *testing.T) {
	inputs := [][]byte{text(3, 40_000), text(4, 3_000), noise(5_000), text(5, 90_000)}
	used := newEncoder(t, Best)
	for _, c := range encodings() {
		var want [][]byte
		for _, in := range inputs {
			out, err := newEncoder(t, Best).Encode(c, in)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, out)
		}
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for i, in := range slices.Backward(inputs) {
					if out, err := used.Encode(c, in); err != nil || !bytes.Equal(out, want[i]) {
						t.Errorf("%s of input %d differs, error %v", c, i, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestGzipHeaderIsEmpty(t *testing.T) {
	out, err := newEncoder(t, Best).Encode(holdfast.Gzip, text(1, 1000))
	if err != nil {
		t.Fatal(err)
	}
	// RFC 1952, section 2.3: FLG at 3, MTIME at 4 to 7.
	if !bytes.Equal(out[3:8], make([]byte, 5)) {
		t.Errorf("flags and time are % x", out[3:8])
	}
}

func TestWindowsStayInBrowsersLimits(t *testing.T) {
	in := bytes.Repeat(noise(1<<10), 10<<10) // 10 MiB, more than the window of zstd
	enc := newEncoder(t, Fast)
	z, err := enc.Encode(holdfast.Zstd, in)
	if err != nil {
		t.Fatal(err)
	}
	var h zstd.Header
	if err := h.Decode(z); err != nil || h.SingleSegment || h.WindowSize > maxZstdWindow {
		t.Errorf("zstd window %d, single segment %v, error %v", h.WindowSize, h.SingleSegment, err)
	}
	b, err := enc.Encode(holdfast.Brotli, in)
	if err != nil {
		t.Fatal(err)
	}
	if b[0]&0x7f == 0x11 { // RFC 7932, section 9.1: reserved, and used by large windows
		t.Error("brotli stream has a large window")
	}
	for n, want := range map[int]int{0: 16, 1 << 16: 17, 1 << 20: 21, 1 << 23: 24, 1 << 26: 24} {
		if got := windowBits(n); got != want {
			t.Errorf("window of %d bytes: %d bits, want %d", n, got, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	enc := newEncoder(t, Fast)
	if _, err := enc.Encode(holdfast.Identity, []byte("x")); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("identity: %v", err)
	}
	if _, err := enc.Encode(holdfast.Gzip, make([]byte, MaxSize+1)); !errors.Is(err, holdfast.ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	in := text(6, 5_000)
	enc := newEncoder(t, Fast)
	for _, c := range encodings() {
		good, err := enc.Encode(c, in)
		if err != nil {
			t.Fatal(err)
		}
		flipped := slices.Clone(good)
		flipped[len(good)/2] ^= 0x10
		for name, bad := range map[string]struct{ encoded, identity []byte }{
			"empty":            {nil, in},
			"cut":              {good[:len(good)-1], in},
			"half":             {good[:len(good)/2], in},
			"longer":           {good, in[:len(in)-1]},
			"shorter":          {good, append(slices.Clone(in), 'x')},
			"one byte after":   {append(slices.Clone(good), 0), in},
			"text after":       {append(slices.Clone(good), "trailing text"...), in},
			"damaged":          {flipped, in},
			"other identity":   {good, text(7, 5_000)},
			"not encoded":      {in, in},
			"another, encoded": {mustGzip(t, []byte("other")), in},
		} {
			if err := Verify(c, bad.encoded, bad.identity); !errors.Is(err, holdfast.ErrCorrupt) {
				t.Errorf("%s, %s: %v", c, name, err)
			}
		}
	}
}

// Two members in one gzip file decode to the bytes, but not in every browser.
func TestVerifyRefusesSeveralGzipMembers(t *testing.T) {
	a, b := []byte("first"), []byte("second")
	if err := Verify(holdfast.Gzip, append(mustGzip(t, a), mustGzip(t, b)...), append(a, b...)); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Error(err)
	}
}

func TestVerifyRefusesWindowsBrowsersRefuse(t *testing.T) {
	in := noise(10 << 20)
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(32<<20), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := Verify(holdfast.Zstd, z.EncodeAll(in, nil), in); !errors.Is(err, holdfast.ErrCorrupt) {
		t.Error(err)
	}
}

func TestDecodeIsBounded(t *testing.T) {
	for _, c := range encodings() {
		bomb, err := newEncoder(t, Fast).Encode(c, make([]byte, 4<<20))
		if err != nil {
			t.Fatal(err)
		}
		var n counter
		if err := decodeTo(&n, c, bomb, 1000); !errors.Is(err, holdfast.ErrCorrupt) || n > 1001 {
			t.Errorf("%s: %d bytes, %v", c, n, err)
		}
	}
}

type counter int

func (n *counter) Write(p []byte) (int, error) { *n += counter(len(p)); return len(p), nil }

func mustGzip(t *testing.T, in []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := stdgzip.NewWriter(&out)
	if _, err := w.Write(in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWorthwhile(t *testing.T) {
	for in, want := range map[[2]string]bool{
		{"text/javascript; charset=utf-8", "a.js"}: true, {"text/css; charset=utf-8", "a.css"}: true,
		{"application/json", "a.json"}: true, {"application/manifest+json", "a.webmanifest"}: true,
		{"image/svg+xml", "a.svg"}: true, {"application/wasm", "a.wasm"}: true, {"font/ttf", "a.ttf"}: true,
		{"application/xml", "a.xml"}: true, {"image/vnd.microsoft.icon", "a.ico"}: true, {"image/bmp", "a.bmp"}: true,
		{"application/octet-stream", "model.bin"}: true, {"TEXT/HTML", "a"}: true,
		{"font/woff2", "a.woff2"}: false, {"font/woff", "a.woff"}: false, {"image/png", "a.png"}: false,
		{"image/jpeg", "a.jpg"}: false, {"image/webp", "a.webp"}: false, {"image/avif", "a.avif"}: false,
		{"video/mp4", "a.mp4"}: false, {"application/zip", "a.zip"}: false, {"application/gzip", "a.gz"}: false,
		{"application/octet-stream", "a.ZST"}: false, {"application/octet-stream", "x.br"}: false, {"application/pdf", "a.pdf"}: false,
	} {
		if got := Worthwhile(in[0], in[1]); got != want {
			t.Errorf("Worthwhile(%q) = %v", in, got)
		}
	}
}

func TestPays(t *testing.T) {
	for in, want := range map[[2]int64]bool{
		{1000, 936}: true, {1000, 937}: false, {0, 1}: false, {60, 1}: false,
		{32000, 31000}: true, {32000, 31001}: false, {100, 200}: false,
	} {
		if got := Pays(in[0], in[1]); got != want {
			t.Errorf("Pays(%v) = %v", in, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	in := text(8, 300)
	enc := newEncoder(f, Fast)
	for _, c := range encodings() {
		out, err := enc.Encode(c, in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(c), out, 300)
	}
	f.Add(uint8(holdfast.Identity), in, 299)
	f.Add(uint8(9), in, 3)
	f.Fuzz(func(t *testing.T, c uint8, encoded []byte, size int) {
		if size < 0 || size > 1<<20 {
			return
		}
		out, err := Decode(holdfast.Coding(c), encoded, int64(size))
		if err == nil && len(out) != size {
			t.Errorf("%d bytes, want %d", len(out), size)
		}
		if err != nil && !errors.Is(err, holdfast.ErrCorrupt) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

// The decoder that checks gzip is independent of the encoder. For brotli only the
// encoder's own decoder is available, so at least its two ways of decoding must agree.
func TestBrotliDecodersAgree(t *testing.T) {
	in := text(9, 200_000)
	out, err := newEncoder(t, Fast).Encode(holdfast.Brotli, in)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := brotli.Decompress(out)
	if err != nil || !bytes.Equal(whole, in) {
		t.Errorf("one shot: %d bytes, %v", len(whole), err)
	}
	streamed, err := io.ReadAll(brotli.NewReader(bytes.NewReader(out)))
	if err != nil || !bytes.Equal(streamed, in) {
		t.Errorf("streamed: %d bytes, %v", len(streamed), err)
	}
}
