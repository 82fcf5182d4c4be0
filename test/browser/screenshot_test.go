package browser_test

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-web/holdfast/test/browser"
)

// On a narrow screen nothing sticks out: the picture of the whole page is as
// wide as the screen.
func TestNarrowScreen(t *testing.T) {
	url, _ := serve(t, "1")
	tab, _ := browser.Tab(t, browser.Start(t))
	browser.Open(t, tab, url+"/")
	browser.Click(t, tab, "lazy-button")
	browser.Text(t, tab, "lazy-text")
	file := filepath.Join(t.TempDir(), "narrow.png")
	browser.Screenshot(t, tab, 375, 800, file)
	picture, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer picture.Close()
	size, err := png.DecodeConfig(picture)
	if err != nil || size.Width != 375 || size.Height < 800 {
		t.Errorf("the page is %d × %d pixels, want 375 wide, at least 800 high; %v", size.Width, size.Height, err)
	}
}
