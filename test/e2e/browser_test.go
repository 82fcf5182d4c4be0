package e2e

import (
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/browser"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestOldTabsKeepWorking is what the product is for, in a real browser: a page
// loads its lazy chunk and its worker after another release went live, forwards
// and backwards.
func TestOldTabsKeepWorking(t *testing.T) {
	m := newMachine(t)
	const builds = "../../cmd/holdfast/demosite/release-"
	for _, id := range []string{"1", "2"} {
		m.Run("publish", program.Absolute(t, builds+id), "--release", id, "--effort", "fast")
	}
	m.Run("activate", "1")
	n := m.Serve()
	chrome := browser.Start(t)

	tab1, log1 := browser.Tab(t, chrome)
	browser.Open(t, tab1, n.Base+"/")
	expectText(t, browser.Text(t, tab1, "release"), "1")

	m.Run("activate", "2")
	tab2, log2 := browser.Tab(t, chrome)
	browser.Open(t, tab2, n.Base+"/")
	expectText(t, browser.Text(t, tab2, "release"), "2")

	browser.Click(t, tab1, "lazy-button")
	expectText(t, browser.Text(t, tab1, "lazy-text"), "This is the lazy panel of release 1.")
	browser.Click(t, tab1, "worker-button")
	expectText(t, browser.Text(t, tab1, "worker-text"), "The worker of release 1 ")

	m.Run("rollback")
	tab3, _ := browser.Tab(t, chrome)
	browser.Open(t, tab3, n.Base+"/")
	expectText(t, browser.Text(t, tab3, "release"), "1")

	browser.Click(t, tab2, "lazy-button") // the browser is newer than the server now
	expectText(t, browser.Text(t, tab2, "lazy-text"), "This is the lazy panel of release 2.")
	browser.Click(t, tab2, "worker-button")
	expectText(t, browser.Text(t, tab2, "worker-text"), "The worker of release 2 ")

	preview, log4 := browser.Tab(t, chrome)
	browser.Open(t, preview, n.Base+"/@2/")
	expectText(t, browser.Text(t, preview, "release"), "2")
	browser.Click(t, preview, "lazy-button")
	expectText(t, browser.Text(t, preview, "lazy-text"), "This is the lazy panel of release 2.")

	for name, log := range map[string]*browser.Log{"tab of release 1": log1, "tab of release 2": log2, "preview": log4} {
		if problems := log.Problems(); len(problems) > 0 {
			t.Errorf("%s: %s", name, strings.Join(problems, "; "))
		}
		for _, r := range log.Responses() {
			if r.Status >= 400 {
				t.Errorf("%s: %d for %s", name, r.Status, r.URL)
			}
		}
	}
}

func expectText(t *testing.T, got, want string) {
	t.Helper()
	if !strings.HasPrefix(got, want) {
		t.Fatalf("the page says %q, want %q", got, want)
	}
}
