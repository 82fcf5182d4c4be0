package visit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/holdfast-web/holdfast/test/browser"
)

const (
	// patience bounds what a page may take to become complete, or to say that it failed.
	patience = 15 * time.Second
	// step bounds one action of the browser.
	step = 30 * time.Second
)

// tab is one of the browser, with a page in it after open.
type tab struct {
	ctx  context.Context
	log  *browser.Log
	shut func()

	version *Version // that the page says it is of; nil if it says nothing we know
	page    string
	parts   []string // not shown yet
}

// newTab opens an empty tab. With cached false it asks servers for everything,
// whatever the browser has.
func newTab(chromium context.Context, cached bool) (*tab, error) {
	ctx, log, shut, err := browser.OpenTab(chromium)
	if err != nil {
		return nil, err
	}
	t := &tab{ctx: ctx, log: log, shut: shut}
	if _, err := call(t, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: !cached}); err != nil {
		shut()
		return nil, fmt.Errorf("set up tab: %w", err)
	}
	return t, nil
}

// open opens a page of one of the versions and waits until it is settled. The
// error says what the page lacks.
func (t *tab) open(base, page string, versions []*Version) error {
	t.version, t.page, t.parts = nil, page, nil
	if _, err := run(t, chromedp.Navigate(base+page)); err != nil {
		return err
	}
	name, err := run(t, chromedp.Evaluate[string](`document.body?.dataset.version ?? ''`))
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Name == name {
			t.version = v
		}
	}
	if t.version == nil {
		return fmt.Errorf("is of version %q", name)
	}
	if t.parts, err = run(t, chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll('[data-part]'), (e) => e.dataset.part)`)); err != nil {
		return err
	}
	return t.complete(`document.documentElement.dataset.state`, pageLacks)
}

// show opens the next part of the page.
func (t *tab) show() error {
	part := t.parts[0]
	t.parts = t.parts[1:]
	button := fmt.Sprintf("document.querySelector('[data-part=%q]')", part)
	if _, err := run(t, chromedp.Evaluate[any](button+".click()")); err != nil {
		return err
	}
	// A page without its script says nothing of its parts.
	state := fmt.Sprintf("(document.documentElement.dataset.script ? %s.nextElementSibling.dataset.state : 'failed')", button)
	return t.complete(state, fmt.Sprintf(partLacks, button))
}

// complete waits until the expression for a state has a value. lacks is one for a
// list of what there is not.
func (t *tab) complete(state, lacks string) error {
	if _, err := run(t, chromedp.Poll[bool]("!!"+state, chromedp.WithPollingMutation(), chromedp.WithPollingTimeout(patience))); err != nil {
		return fmt.Errorf("does not become complete: %w", err)
	}
	what, err := run(t, chromedp.Evaluate[[]string](lacks))
	if err != nil {
		return err
	}
	what = append(what, t.log.Problems()...)
	t.log.Reset()
	if len(what) > 0 {
		return errors.New(what[0])
	}
	return nil
}

// The version that the page was rendered by, that of its script and that of its
// style sheet are one; images and fonts are there.
const pageLacks = `(() => {
  const root = document.documentElement, want = document.body.dataset.version, lacks = []
  const style = getComputedStyle(root).getPropertyValue('--version').trim()
  if (root.dataset.state !== 'complete') lacks.push(root.dataset.state)
  if (root.dataset.script !== want) lacks.push('has the script of version ' + root.dataset.script)
  if (style !== want) lacks.push('has the style of version ' + style)
  for (const i of document.images) if (!i.complete || !i.naturalWidth) lacks.push('has no image ' + i.src)
  for (const f of document.fonts) if (f.status !== 'loaded') lacks.push('has no font ' + f.family)
  return lacks
})()`

const partLacks = `((button) => {
  const place = button.nextElementSibling, lacks = []
  const got = place.querySelector('.part')?.dataset.version
  if (place.dataset.state !== 'complete') lacks.push(place.dataset.state ?? 'does not react')
  else if (got !== document.body.dataset.version) lacks.push('is of version ' + got)
  else if (!place.querySelector('img')?.naturalWidth) lacks.push('has no picture')
  return lacks
})(%s)`

// requests judges what the tab asked for since it was called last, once that has
// come to an end, and tells fault what is wrong.
//
// Chromium lets go of the bytes of some answers, that of a page's icon above all,
// which belongs to no document. The page asks for these once more, and what it gets
// is one more request.
func (t *tab) requests(base string, fault func(format string, args ...any)) (c Counts) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	again := make(map[string]bool) // by URL: asked for once more
	for all := t.log.Take(ctx); len(all) > 0; all = t.log.Take(ctx) {
		for _, r := range all {
			t.count(&c, base, r, again, fault)
		}
	}
	return c
}

func (t *tab) count(c *Counts, base string, r browser.Request, again map[string]bool, fault func(format string, args ...any)) {
	c.Requests++
	if r.URL == base+t.page {
		c.Documents++
	}
	if r.Response != nil && r.Response.FromCache {
		c.Cached++
	}
	var count *int
	var what string
	switch {
	case r.Response != nil && r.Response.Status >= 400:
		count, what = &c.Statuses, fmt.Sprintf("has the status %d", r.Response.Status)
	case r.Response == nil || r.Failure != "":
		count, what = &c.NoAnswer, "got no answer: "+r.Failure
	default:
		count, what = &c.Wrong, t.judge(base, r, again)
	}
	if what != "" {
		*count++
		fault("%s %s", r.URL, what)
	}
}

// judge says what is wrong with an answer, and returns "" if nothing is, or if the
// page asks again.
func (t *tab) judge(base string, r browser.Request, again map[string]bool) string {
	switch {
	case r.URL == base+t.page && r.Response.MediaType != "text/html":
		return "has the media type " + r.Response.MediaType
	case r.URL == base+t.page: // its bytes are made for each request; open looks at what it says
		return ""
	case t.version == nil:
		return "belongs to a page of no known version"
	}
	body, err := call(t, network.GetResponseBody, network.GetResponseBodyParams{RequestID: r.ID})
	if err == nil {
		return t.version.judge(r.URL, r.Response.MediaType, body.Body)
	}
	if !again[r.URL] {
		again[r.URL] = true
		_, err = run(t, chromedp.Evaluate[any](fmt.Sprintf(fetchAgain, r.URL), chromedp.EvalAwaitPromise))
	}
	if err != nil {
		return fmt.Sprintf("has bytes that cannot be read any more: %v", err)
	}
	return ""
}

// fetchAgain waits for all of the answer; what that is worth is judged like any other.
const fetchAgain = `fetch(%q).then((r) => r.arrayBuffer()).then(() => null)`

func run[T any](t *tab, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, step)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func call[P, R any](t *tab, command cdp.Command[P, R], params P) (R, error) {
	ctx, cancel := context.WithTimeout(t.ctx, step)
	defer cancel()
	return chromedp.Call(ctx, command, params)
}
