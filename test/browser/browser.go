// Package browser drives a headless Chromium in tests: it starts one, opens
// tabs, records what they fetched and what went wrong in them, and takes
// pictures. Everything it starts ends with the test that asked for it, and no
// step waits forever.
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
	bounded, expire := context.WithTimeout(context.Background(), life)
	browser, quit, err := Launch(bounded)
	if err != nil {
		expire()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer expire()
		if err := quit(); err != nil {
			t.Errorf("close browser: %v", err)
		}
	})
	return browser
}

// Launch is Start for programs that are no tests. quit closes the browser and
// removes its profile; so does the end of ctx.
func Launch(ctx context.Context) (browser context.Context, quit func() error, err error) {
	binary, err := find(exec.LookPath)
	if err != nil {
		return nil, nil, err
	}
	allocator, release := chromedp.NewExecAllocator(ctx, options(binary)...)
	browser, cancel := chromedp.NewContext(allocator)
	quit = func() error {
		defer release()
		defer cancel()
		return chromedp.Cancel(browser)
	}
	if err := chromedp.Do(browser); err != nil {
		cancel()
		release()
		return nil, nil, fmt.Errorf("start %s: %w", binary, err)
	}
	return browser, quit, nil
}

// Tab opens a tab, in a window of its own, unless options say otherwise, so that
// none is throttled as hidden. The log records from the first request on. The tab
// is closed when the test ends.
func Tab(t testing.TB, browser context.Context, options ...chromedp.ContextOption) (context.Context, *Log) {
	t.Helper()
	tab, log, shut, err := OpenTab(browser, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shut)
	return tab, log
}

// OpenTab is Tab for programs that are no tests. shut closes the tab.
func OpenTab(browser context.Context, options ...chromedp.ContextOption) (tab context.Context, log *Log, shut func(), err error) {
	log = newLog()
	tab, shut = chromedp.NewContext(browser, append(options, chromedp.WithListener(log.record))...)
	if err := chromedp.Do(tab); err != nil {
		shut()
		return nil, nil, nil, fmt.Errorf("open tab: %w", err)
	}
	return tab, log, shut, nil
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
