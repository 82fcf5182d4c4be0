package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-web/holdfast/internal/publish"
)

// tellPublished prints the result, and warns about problems.
func (c *cli) tellPublished(p *published) {
	took := humanDuration(time.Duration(p.Seconds * float64(time.Second)))
	what := fmt.Sprintf("release %s of app %s", c.id(p.Release), p.App)
	size := fmt.Sprintf("%s, %s", count(p.Files, "file"), humanSize(p.Bytes))
	switch {
	case p.Outcome == "unchanged":
		c.ui.say("%s is already published with these files (%s); %s", what, size, mendedText(p))
	case p.DryRun:
		c.ui.say("would publish %s: %s, checked in %s; nothing was written", what, size, took)
	case p.Outcome == "restored":
		c.ui.say("restored %s: %s, in %s", what, size, took)
	default:
		c.ui.say("published %s: %s, in %s", what, size, took)
	}
	if p.Outcome != "unchanged" {
		c.ui.say("  %s", storedText(p))
	}
	if p.Pages > 0 {
		c.ui.say("  %s pinned: they load their files from %s", count(p.Pages, "page"), p.base)
	}
	if len(p.LeftOut) > 0 {
		c.ui.say("  left out: %s", leftOutText(p.LeftOut))
	}
	c.tellFindings(p.Findings)
}

func storedText(p *published) string {
	written, encoded := "wrote", "encoded"
	if p.DryRun {
		written, encoded = "would write at most", "would encode at most"
	}
	texts := []string{
		fmt.Sprintf("reused %s (%s)", count(p.Reused, "file"), humanSize(p.ReusedBytes)),
		fmt.Sprintf("%s %s", encoded, count(p.Encoded, "form")),
		fmt.Sprintf("%s %s (%s)", written, count(p.Uploaded, "object"), humanSize(p.UploadedBytes)),
	}
	if p.Restored > 0 {
		texts = append(texts, mendedText(p))
	}
	if p.Verified > 0 {
		texts = append(texts, fmt.Sprintf("reused %s of the build's", count(p.Verified, "encoded form")))
	}
	return strings.Join(texts, ", ")
}

// mendedText describes lost objects that were stored again.
func mendedText(p *published) string {
	restored := "restored"
	if p.DryRun {
		restored = "would restore"
	}
	switch {
	case p.Restored > 0:
		return fmt.Sprintf("%s %s that the store had lost", restored, count(p.Restored, "object"))
	case p.repinned && p.Pages > 0:
		return "its pages were pinned again"
	case p.repinned:
		return "its pages are served as they were built"
	case p.mended:
		return restored + " its manifest or inventory, which the store had lost"
	}
	return "nothing was written"
}

// leftOutText counts the omitted files by reason.
func leftOutText(list []publish.LeftOut) string {
	paths := make(map[string][]string)
	var reasons []string
	for _, l := range list {
		if paths[l.Reason] == nil {
			reasons = append(reasons, l.Reason)
		}
		paths[l.Reason] = append(paths[l.Reason], l.Path)
	}
	slices.Sort(reasons)
	var texts []string
	for _, reason := range reasons {
		texts = append(texts, fmt.Sprintf("%s (%s)", some(paths[reason], 3), reason))
	}
	return strings.Join(texts, "; ")
}
