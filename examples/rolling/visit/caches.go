package visit

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// Caches counts what a browser fetches again when another process answers.
type Caches struct {
	Base    string // URL of the application, without a slash at the end
	Version *Version
	Out     io.Writer
	Shared  bool // whether the processes are to share what the browser has

	browser context.Context
	total   Counts
	fetched []int // files from the network, of each look
	faults  faults
}

// look is the verb of "look LABEL": open everything there is.
const look = "look"

// Run opens every page, and every part of the first one, in new tabs of the
// browser at each look. Pages themselves are fetched each time; of files it counts
// how many were fetched and how many the browser had.
func (c *Caches) Run(ctx, browser context.Context, lines <-chan string) error {
	c.browser = browser
	fmt.Fprintf(c.Out, "%-32s %6s %9s %6s %8s %11s\n", "", "pages", "complete", "files", "fetched", "from cache")
	for {
		verb, label, err := next(ctx, lines)
		switch {
		case err != nil:
			return err
		case verb == done:
			return c.end()
		case verb != look:
			return fmt.Errorf("%s %s: want %s LABEL or %s", verb, label, look, done)
		}
		row, err := c.look()
		if err != nil {
			return err
		}
		files := row.Requests - row.Documents
		c.fetched = append(c.fetched, files-row.Cached)
		c.total.add(row)
		fmt.Fprintf(c.Out, "%-32s %6d %9d %6d %8d %11d\n", label, row.Pages, row.Complete, files, files-row.Cached, row.Cached)
	}
}

func (c *Caches) look() (row Counts, err error) {
	for i, page := range c.Version.Pages {
		t, err := newTab(c.browser, true)
		if err != nil {
			return row, err
		}
		lack := t.open(c.Base, page, []*Version{c.Version})
		for i == 0 && lack == nil && len(t.parts) > 0 {
			lack = t.show()
		}
		counts := t.requests(c.Base, c.faults.add)
		t.shut()
		counts.Pages = 1
		switch {
		case lack != nil:
			c.faults.add("page %s %v", page, lack)
		case counts.Failed() == 0:
			counts.Complete = 1
		}
		row.add(counts)
	}
	return row, nil
}

func (c *Caches) end() error {
	if err := verdict(c.Out, c.total, c.faults); err != nil {
		return err
	}
	again := c.fetched[1:]
	refetched := slices.ContainsFunc(again, func(n int) bool { return n > 0 })
	switch {
	case len(again) == 0 || c.fetched[0] == 0:
		return fmt.Errorf("files fetched: %v; want two looks or more, and files fetched in the first", c.fetched)
	case c.Shared && refetched:
		return fmt.Errorf("files fetched: %v; want none after the first look", c.fetched)
	case !c.Shared && slices.Contains(again, 0):
		return fmt.Errorf("files fetched: %v; want some in every look", c.fetched)
	}
	return nil
}
