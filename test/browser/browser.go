// Package browser drives a headless Chromium in tests: it starts one, opens
// tabs, records what they fetched and what went wrong in them, and takes
// pictures. Everything it starts ends with the test that asked for it, and no
// step waits for ever.
//
// A missing Chromium fails the test. It is never skipped: what only a browser
// can show would otherwise go unseen.
package browser

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	// life bounds a whole browser, and with it a test that hangs.
	life = 5 * time.Minute
	// step bounds one action in a tab.
	step = 30 * time.Second
)

// Start runs a browser with a fresh profile and returns its context, for Tab.
// The browser is closed, and its profile removed, when the test ends.
func Start(t testing.TB) context.Context {
	t.Helper()
	binary, err := find(exec.LookPath)
	if err != nil {
		t.Fatal(err)
	}
	bounded, expire := context.WithTimeout(context.Background(), life)
	allocator, release := chromedp.NewExecAllocator(bounded, options(binary)...)
	browser, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		defer expire()
		defer release()
		defer cancel()
		if err := chromedp.Cancel(browser); err != nil {
			t.Errorf("close browser: %v", err)
		}
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start %s: %v", binary, err)
	}
	return browser
}

// Tab opens a tab, in a window of its own, unless options say otherwise, so that
// none is throttled as hidden. The log records from the first request on. The tab
// is closed when the test ends.
func Tab(t testing.TB, browser context.Context, options ...chromedp.ContextOption) (context.Context, *Log) {
	t.Helper()
	log := newLog()
	tab, cancel := chromedp.NewContext(browser, append(options, chromedp.WithListener(log.record))...)
	t.Cleanup(cancel)
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("open tab: %v", err)
	}
	return tab, log
}

func options(binary string) []chromedp.ExecAllocatorOption {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(binary))
	for _, flag := range []string{
		"no-sandbox", // containers and CI run as root
		"disable-gpu",
		"disable-quic",
		"disable-component-update",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	return options
}

// find returns the path of the first Chromium that look knows.
func find(look func(string) (string, error)) (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "/usr/lib/chromium/chromium"}
	for _, name := range names {
		if path, err := look(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium here (looked for %s): `make test` installs it, by test/install.sh", strings.Join(names, ", "))
}
