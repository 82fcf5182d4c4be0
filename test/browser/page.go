package browser

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// Do runs steps in a tab and fails the test when one fails or takes too long.
func Do(t testing.TB, tab context.Context, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, action := range steps {
		if _, err := run(tab, action); err != nil {
			t.Fatalf("browser step %d: %v", i+1, err)
		}
	}
}

// Open navigates and waits until the page has loaded.
func Open(t testing.TB, tab context.Context, url string) {
	t.Helper()
	if _, err := run(tab, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
}

// Click presses the element whose data-testid is id, as a mouse would.
func Click(t testing.TB, tab context.Context, id string) {
	t.Helper()
	if _, err := run(tab, chromedp.Click(ID(id))); err != nil {
		t.Fatalf("click %s: %v", id, err)
	}
}

// Text waits until the element whose data-testid is id is visible, and returns
// its text as shown.
func Text(t testing.TB, tab context.Context, id string) string {
	t.Helper()
	text, err := run(tab, chromedp.Text(ID(id)))
	if err != nil {
		t.Fatalf("read %s: %v", id, err)
	}
	return text
}

// Wait waits until the JavaScript expression is true in the page, and looks
// again after every change of the document.
func Wait(t testing.TB, tab context.Context, expression string) {
	t.Helper()
	if _, err := run(tab, chromedp.Poll[bool](expression, chromedp.WithPollingMutation(), chromedp.WithPollingTimeout(step))); err != nil {
		t.Fatalf("wait for %s: %v", expression, err)
	}
}

// Type presses the keys of text in the element whose data-testid is id.
func Type(t testing.TB, tab context.Context, id, text string) {
	t.Helper()
	if _, err := run(tab, chromedp.SendKeys(ID(id), text)); err != nil {
		t.Fatalf("type into %s: %v", id, err)
	}
}

// Eval returns the value of a JavaScript expression, of what it resolves to if it
// is a promise.
func Eval[T any](t testing.TB, tab context.Context, expression string) T {
	t.Helper()
	v, err := run(tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// Front makes a tab the active one of its window, which hides the others.
func Front(t testing.TB, tab context.Context) {
	t.Helper()
	if err := call(tab, page.BringToFront, cdp.Empty{}); err != nil {
		t.Fatalf("bring tab to the front: %v", err)
	}
}

// BeforeScripts runs a script in every document of the tab from now on, before
// its own ones.
func BeforeScripts(t testing.TB, tab context.Context, source string) {
	t.Helper()
	p := page.AddScriptToEvaluateOnNewDocumentParams{Source: source}
	if err := call(tab, page.AddScriptToEvaluateOnNewDocument, p); err != nil {
		t.Fatalf("add script: %v", err)
	}
}

// WithoutCache has every document of the tab fetch all of its files from now on.
func WithoutCache(t testing.TB, tab context.Context) {
	t.Helper()
	if err := call(tab, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		t.Fatalf("disable cache: %v", err)
	}
}

// Dialogs answers every dialog of the tab from now on, and returns what gives
// the texts of those that were answered.
func Dialogs(t testing.TB, tab context.Context, accept bool) (texts func() []string) {
	t.Helper()
	var mu sync.Mutex
	var answered []string
	ctx, cancel := context.WithCancel(tab)
	events, done := chromedp.Events(ctx, page.JavascriptDialogOpening), make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for e, err := range events {
			if err != nil {
				return
			}
			if err := call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: accept}); err != nil {
				t.Errorf("answer dialog %q: %v", e.Message, err)
			}
			mu.Lock()
			answered = append(answered, e.Message)
			mu.Unlock()
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(answered)
	}
}

// Loaded returns the URLs of all that the page has loaded beside itself, by its
// own resource timeline: scripts of workers included, failures in part.
func Loaded(t testing.TB, tab context.Context) []string {
	t.Helper()
	urls, err := run(tab, chromedp.Evaluate[[]string](`performance.getEntriesByType('resource').map((e) => e.name)`))
	if err != nil {
		t.Fatalf("read resource timeline: %v", err)
	}
	return urls
}

// Screenshot writes the whole page, laid out width by height CSS pixels, to a
// PNG file.
func Screenshot(t testing.TB, tab context.Context, width, height int64, file string) {
	t.Helper()
	Do(t, tab, chromedp.EmulateViewport(width, height))
	png, err := run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatalf("take screenshot: %v", err)
	}
	if err := os.WriteFile(file, png, 0o644); err != nil {
		t.Fatalf("write screenshot: %v", err)
	}
}

// ID selects the element whose data-testid is id.
func ID(id string) chromedp.CSS { return chromedp.CSS(fmt.Sprintf("[data-testid=%q]", id)) }

func run[T any](tab context.Context, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(tab, step)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func call[P, R any](tab context.Context, command cdp.Command[P, R], params P) error {
	ctx, cancel := context.WithTimeout(tab, step)
	defer cancel()
	_, err := chromedp.Call(ctx, command, params)
	return err
}
