package docs

import (
	"cmp"
	"context"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/holdfast-web/holdfast/test/browser"
)

// picture is for making the picture of the README again:
//
//	go test ./test/docs -run TestPicture -args -picture "$PWD/docs/demo.png"
var picture = flag.String("picture", "", "write the picture of the README to this `file`")

const (
	pictureWidth, pictureHeight = 560, 900 // of each of the two tabs, in pixels
	pictureCut                  = 1404     // how much of the pages is shown, in pixels
	pictureMost                 = 200_000  // bytes
)

// TestPicture shows what the picture of the README shows: after release 2 went
// live, a tab of release 1 that was opened before loads its own lazy panel and
// its own worker, next to a tab that was opened afterwards.
func TestPicture(t *testing.T) {
	s := newSession(t)
	s.must("holdfast publish dist --release 1 --activate --effort fast")
	s.must("holdfast serve &")
	chromium := browser.Start(t)
	before, log := browser.Tab(t, chromium)
	browser.Open(t, before, "http://localhost:8080/")
	s.must("npm run build")
	s.must("holdfast publish dist --release 2 --activate --effort fast")
	after, _ := browser.Tab(t, chromium)
	browser.Open(t, after, "http://localhost:8080/")
	for tab, release := range map[context.Context]string{before: "1", after: "2"} {
		browser.Click(t, tab, "lazy-button")
		if got, want := browser.Text(t, tab, "lazy-text"), "This is the lazy panel of release "+release+"."; got != want {
			t.Errorf("the page says %q, want %q", got, want)
		}
		browser.Click(t, tab, "worker-button")
		browser.Text(t, tab, "worker-text")
	}
	if problems := log.Problems(); len(problems) > 0 {
		t.Errorf("the tab of release 1 has the problems %q", problems)
	}
	file := *picture
	if file == "" {
		file = filepath.Join(t.TempDir(), "picture.png")
	}
	sideBySide(t, file, shot(t, before), shot(t, after))
	if info, err := os.Stat(file); err != nil || info.Size() > pictureMost {
		t.Errorf("the picture is %v, want one of at most %d bytes; %v", info, pictureMost, err)
	}
}

func (s *session) must(command string) {
	s.t.Helper()
	if output, err := s.step(command); err != nil {
		s.t.Fatalf("%s: %v\n%s", command, err, output)
	}
}

func shot(t *testing.T, tab context.Context) image.Image {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tab.png")
	browser.Screenshot(t, tab, pictureWidth, pictureHeight, file)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// sideBySide writes the tops of two pictures as one, with a gap between them and
// with the colours that they use most: the pages are drawn in few.
func sideBySide(t *testing.T, file string, left, right image.Image) {
	t.Helper()
	const gap = 16
	canvas := image.NewRGBA(image.Rect(0, 0, 2*pictureWidth+gap, pictureCut))
	draw.Draw(canvas, canvas.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(canvas, image.Rect(0, 0, pictureWidth, pictureCut), left, image.Point{}, draw.Src)
	draw.Draw(canvas, image.Rect(pictureWidth+gap, 0, 2*pictureWidth+gap, pictureCut), right, image.Point{}, draw.Src)
	small := image.NewPaletted(canvas.Bounds(), commonest(canvas, 256))
	draw.Draw(small, small.Bounds(), canvas, image.Point{}, draw.Src)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(f, small); err != nil {
		t.Fatal(err)
	}
}

// commonest returns the colours that most pixels have, at most n.
func commonest(m *image.RGBA, n int) color.Palette {
	pixels := make(map[color.RGBA]int)
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			pixels[m.RGBAAt(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(pixels), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(pixels[b], pixels[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	var p color.Palette
	for _, c := range colours[:min(n, len(colours))] {
		p = append(p, c)
	}
	return p
}
