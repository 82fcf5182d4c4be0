package visit

import (
	"fmt"
	"io"
	"time"
)

// Counts say what came of visits.
type Counts struct {
	Pages, Complete    int // opened, and of those whole: everything there, of one version
	Parts, Shown       int // lazily loaded, likewise
	Requests, Cached   int // sent, and not sent since the browser had the answer
	Documents          int // of Requests: pages themselves
	NoAnswer, Statuses int // no answer, half of one or one that the browser refuses; statuses of 400 and more
	Wrong              int // bytes, or a media type, that the version does not have
}

// Failed is how many requests were not answered as they should have been.
func (c Counts) Failed() int { return c.NoAnswer + c.Statuses + c.Wrong }

// Good says whether there was something to count, and all of it as it should be.
func (c Counts) Good() bool {
	return c.Pages > 0 && c.Complete == c.Pages && c.Shown == c.Parts && c.Failed() == 0
}

func (c *Counts) add(o Counts) {
	c.Pages += o.Pages
	c.Complete += o.Complete
	c.Parts += o.Parts
	c.Shown += o.Shown
	c.Requests += o.Requests
	c.Cached += o.Cached
	c.Documents += o.Documents
	c.NoAnswer += o.NoAnswer
	c.Statuses += o.Statuses
	c.Wrong += o.Wrong
}

const (
	headForm = "%-32s %6s %9s %10s %7s %9s %7s\n"
	rowForm  = "%-32s %6d %9d %10d %7d %9d %7d\n"
)

// Head is the line above Rows.
func Head() string {
	return fmt.Sprintf(headForm, "", "pages", "complete", "lazy parts", "shown", "requests", "failed")
}

// Row is a line of a table.
func (c Counts) Row(label string) string {
	return fmt.Sprintf(rowForm, label, c.Pages, c.Complete, c.Parts, c.Shown, c.Requests, c.Failed())
}

// Causes says what the failed requests failed of.
func (c Counts) Causes() string {
	return fmt.Sprintf("%d without an answer of use, %d with a status of 400 or more, %d with wrong bytes or media type", c.NoAnswer, c.Statuses, c.Wrong)
}

// faults are the first things that went wrong.
type faults []string

const faultsKept = 5

func (f *faults) add(format string, args ...any) {
	if len(*f) < faultsKept {
		*f = append(*f, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// verdict prints the first faults, and returns an error if there are any.
func verdict(out io.Writer, total Counts, first faults) error {
	if total.Good() && len(first) == 0 {
		return nil
	}
	for _, fault := range first {
		fmt.Fprintln(out, "  "+fault)
	}
	return fmt.Errorf("%d of %d pages and %d of %d parts were not complete, %d of %d requests failed",
		total.Pages-total.Complete, total.Pages, total.Parts-total.Shown, total.Parts, total.Failed(), total.Requests)
}
