package visit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
)

// Tour visits an application while somebody replaces its processes.
type Tour struct {
	Base     string // URL of the application, without a slash at the end
	Versions []*Version
	Out      io.Writer

	browser context.Context
	fresh   *tab   // for the next page
	kept    []*tab // of every page of every version the first one that was opened
	row     Counts // of the step under way
	total   Counts
	pages   map[visit]*Counts
	faults  faults
}

// visit is what pages are counted by.
type visit struct{ version, page string }

// The lines that say what happens to the application: "begin LABEL" before a step
// of the update, "end VERSIONS" after it, with the names of those that run now and
// commas between them, and "done".
const (
	begin = "begin"
	end   = "end"
	done  = "done"
)

// Run visits pages in the browser from each begin on, until, after its end, every
// page of every version that runs was met, and prints a line for the step. Half of
// the tabs that were kept open a part in the middle of the step, the others after it.
func (t *Tour) Run(ctx, browser context.Context, lines <-chan string) error {
	t.browser, t.pages = browser, make(map[visit]*Counts)
	fmt.Fprint(t.Out, Head())
	for {
		verb, label, err := next(ctx, lines)
		switch {
		case err != nil:
			return err
		case verb == done:
			return t.end(ctx)
		case verb != begin:
			return fmt.Errorf("%s %s without a %s", verb, label, begin)
		}
		running, err := t.meanwhile(ctx, lines)
		if err != nil {
			return err
		}
		if err := t.afterwards(ctx, running); err != nil {
			return err
		}
		fmt.Fprint(t.Out, t.row.Row(label))
		t.total.add(t.row)
		t.row = Counts{}
	}
}

func next(ctx context.Context, lines <-chan string) (verb, rest string, err error) {
	select {
	case line, ok := <-lines:
		if !ok {
			return "", "", errors.New("the input ended without " + done)
		}
		verb, rest, _ = strings.Cut(line, " ")
		return verb, rest, nil
	case <-ctx.Done():
		return "", "", context.Cause(ctx)
	}
}

// meanwhile visits pages until the step comes to its end, and returns the versions
// that run then.
func (t *Tour) meanwhile(ctx context.Context, lines <-chan string) (running []*Version, err error) {
	pages := common(t.Versions)
	due := t.due(0)
	for len(lines) == 0 && ctx.Err() == nil {
		if err := t.visit(ctx, pages[rand.IntN(len(pages))]); err != nil {
			return nil, err
		}
		if len(due) > 0 {
			t.show(due[0])
			due = due[1:]
		}
	}
	verb, names, err := next(ctx, lines)
	if err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(t.Versions, func(v *Version) bool { return v.Name == name })
		if verb != end || i < 0 {
			return nil, fmt.Errorf("%s %s: want %s and versions that there are", verb, names, end)
		}
		running = append(running, t.Versions[i])
	}
	for _, kept := range due {
		t.show(kept)
	}
	return running, nil
}

// maxVisits bounds how often a page is asked for until the one version is met.
const maxVisits = 50

// afterwards meets every page of every version that runs. A page that not all of
// them have can only be asked for where none may answer that lacks it.
func (t *Tour) afterwards(ctx context.Context, running []*Version) error {
	due := t.due(1)
	var missing []visit
	for _, v := range running {
		for _, page := range common(running) {
			missing = append(missing, visit{v.Name, page})
		}
	}
	for n := 0; len(missing) > 0 && ctx.Err() == nil; n++ {
		rand.Shuffle(len(missing), func(i, j int) { missing[i], missing[j] = missing[j], missing[i] })
		if n == maxVisits*len(running) {
			return fmt.Errorf("page %s of version %s was not met in %d visits", missing[0].page, missing[0].version, n)
		}
		page := missing[0].page
		before := t.counts()
		if err := t.visit(ctx, page); err != nil {
			return err
		}
		missing = slices.DeleteFunc(missing, func(v visit) bool { return t.pages[v] != nil && t.pages[v].Pages > before[v] })
	}
	for _, kept := range due {
		t.show(kept)
	}
	return context.Cause(ctx)
}

func (t *Tour) counts() map[visit]int {
	all := make(map[visit]int)
	for v, c := range t.pages {
		all[v] = c.Pages
	}
	return all
}

// due returns every second of the tabs that were kept.
func (t *Tour) due(offset int) (due []*tab) {
	for i := offset; i < len(t.kept); i += 2 {
		due = append(due, t.kept[i])
	}
	return due
}

// visit opens a page. The first one of each page and version stays open.
func (t *Tour) visit(ctx context.Context, page string) (err error) {
	if t.fresh == nil {
		if t.fresh, err = newTab(t.browser, false); err != nil {
			return err
		}
	}
	if err := t.others(ctx); err != nil {
		return err
	}
	lack := t.fresh.open(t.Base, page, t.Versions)
	c := t.fresh.requests(t.Base, t.faults.add)
	c.Pages = 1
	switch {
	case lack != nil:
		t.faults.add("page %s %v", page, lack)
	case c.Failed() == 0:
		c.Complete = 1
	}
	t.row.add(c)
	if t.fresh.version == nil {
		return nil
	}
	key := visit{t.fresh.version.Name, page}
	if t.pages[key] == nil {
		t.pages[key] = new(Counts)
		t.kept = append(t.kept, t.fresh)
		t.fresh = nil
	}
	t.pages[key].add(c)
	return nil
}

// others stands for other visitors: a request or two, or none. Without them the
// round robin would send the pages themselves to one process permanently, if the number
// of requests of each page happens to be a multiple of the number of processes.
func (t *Tour) others(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for range rand.IntN(3) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Base+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.faults.add("%v", err)
			continue
		}
		if resp.StatusCode != http.StatusOK {
			t.faults.add("/readyz: %s", resp.Status)
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
	}
	return nil
}

// show opens the next part in a tab that was kept.
func (t *Tour) show(kept *tab) {
	if len(kept.parts) == 0 {
		return
	}
	part := kept.parts[0]
	lack := kept.show()
	c := kept.requests(t.Base, t.faults.add)
	c.Parts = 1
	switch {
	case lack != nil:
		t.faults.add("part %s of page %s of version %s: %v", part, kept.page, kept.version.Name, lack)
	case c.Failed() == 0:
		c.Shown = 1
	}
	t.row.add(c)
}

// end has the tabs that were kept open what parts are left, and prints the sums.
func (t *Tour) end(ctx context.Context) error {
	for _, kept := range t.kept {
		for len(kept.parts) > 0 && ctx.Err() == nil {
			t.show(kept)
		}
	}
	fmt.Fprint(t.Out, t.row.Row("all other parts, in old tabs"))
	t.total.add(t.row)
	fmt.Fprint(t.Out, t.total.Row("total"))
	for _, v := range t.Versions {
		var sums []string
		for _, page := range v.Pages {
			if c := t.pages[visit{v.Name, page}]; c != nil {
				sums = append(sums, fmt.Sprintf("%s %d of %d", page, c.Complete, c.Pages))
			} else {
				t.faults.add("page %s of version %s was never met", page, v.Name)
			}
		}
		fmt.Fprintf(t.Out, "complete pages of version %s: %s\n", v.Name, strings.Join(sums, ", "))
	}
	fmt.Fprintf(t.Out, "failed requests %d: %s\n", t.total.Failed(), t.total.Causes())
	return verdict(t.Out, t.total, t.faults)
}
