package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/scrub"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	repair bool
	rate   int64 // bytes a second; 0: no limit
}

func (c *cli) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check all stored bytes, and repair damage",
		Long: `Reads every object, manifest and inventory that a release needs, including retired
ones, and checks it against its digest. Without --repair nothing changes. It reads
the whole store: run it after disk trouble, after a restore, or now and then (the
leading node does so every week, see holdfast serve --help). Nodes can keep
serving meanwhile; --rate leaves them bandwidth.

--repair stores missing or corrupt objects again, if the store has the same bytes
in another form: encoded forms are made again, and a file's bytes come from an
encoded form, or from an object that other releases share. Existing objects are
never replaced: the new object gets a new name, the releases refer to that, and a
later prune deletes the damaged one. An encoded form that cannot be made again is
left out; the file is served without it.

Publish the same build again under the same ID to restore anything else, or
restore a copy of the store.

Exit code 1 if anything is missing or damaged and was not repaired.

JSON keys: releases, objects, bytes, problems (kind: missing, corrupt, unreadable
or dangling; what: manifest, inventory, object or condemned list; name, files,
releases: app, release; detail, repaired), unencoded (app, release, files, example),
seconds.`,
		Example: `  holdfast verify
  holdfast verify --repair
  holdfast verify --rate 50MB/s --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), existing, func(b *backends) error { return c.verify(cmd.Context(), b, o) })
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.repair, "repair", false, "store missing or corrupt objects again, from other forms")
	rateFlag(flags, &o.rate, "rate", "", "read no faster than this, such as 50MB/s (no limit)")
	jsonFlag(flags)
	return cmd
}

// leastRate is the lowest rate of reading: below it, connections to a store may end.
const leastRate = 10_000

func rateFlag(flags *pflag.FlagSet, into *int64, name, normal, help string) {
	flags.Var(&value[int64]{into, parseRate, "rate", normal}, name, help)
}

// parseRate reads bytes a second.
func parseRate(text string) (int64, error) {
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil || n < leastRate {
		return 0, fmt.Errorf("want a rate of at least %s/s, such as 50MB/s", humanSize(leastRate))
	}
	return n, nil
}

// verified is the result of verify; the help documents its JSON form.
type verified struct {
	*scrub.Report
	Seconds float64 `json:"seconds"`
}

func (c *cli) verify(ctx context.Context, b *backends, o verifyOptions) error {
	start := time.Now()
	floor, err := pruneFloor()
	if err != nil {
		return err
	}
	bar := c.progress("verified")
	config := scrub.Config{Registry: b.registry, Store: b.store.Slowed(o.rate), Floor: floor, Progress: func(p scrub.Progress) {
		bar.update(func(a *amount) {
			*a = amount{files: p.Objects, filesDone: p.ObjectsDone, bytes: p.Bytes, bytesDone: p.BytesDone}
		})
	}}
	run := scrub.Check
	if o.repair {
		run = scrub.Repair
	}
	report, err := run(ctx, config)
	bar.finish()
	if err != nil && (len(report.Problems) == 0 || errors.Is(err, holdfast.ErrUnavailable)) {
		return err
	}
	took := time.Since(start)
	if err == nil && !report.Unread() {
		err = b.registry.RecordScrub(ctx, scrubbed(report))
	}
	if !c.ui.report(verified{report, took.Seconds()}) {
		c.tellVerified(report, o, took)
	}
	if report.Left() > 0 && err == nil {
		err = errReported
	}
	return err
}

func (c *cli) tellVerified(r *scrub.Report, o verifyOptions, took time.Duration) {
	const most = 50
	for i := range r.Problems[:min(len(r.Problems), most)] {
		c.tellProblem(&r.Problems[i])
	}
	if more := len(r.Problems) - most; more > 0 {
		c.ui.say("and %s; --json lists all", count(more, "more problem"))
	}
	c.tellUnencoded(r.Unencoded)
	checked := fmt.Sprintf("%s of %s, %s, checked in %s", count(r.Objects, "object"), count(r.Releases, "release"), humanSize(r.Bytes), humanDuration(took))
	problems, left := count(len(r.Problems), "problem"), r.Left()
	switch {
	case len(r.Problems) == 0:
		c.ui.say("%s: all is well", checked)
	case left == 0:
		c.ui.say("%s: %s, %s", checked, problems, green.paint("all repaired", c.ui.outColor))
	case left < len(r.Problems):
		c.ui.say("%s: %s, %d repaired, %s", checked, problems, len(r.Problems)-left, red.paint(fmt.Sprintf("%d left", left), c.ui.outColor))
	default:
		c.ui.say("%s: %s", checked, red.paint(problems, c.ui.outColor))
	}
	switch {
	case left == 0:
	case !o.repair:
		c.ui.hint("holdfast verify --repair restores what it can from the store; nodes never send damaged bytes, they answer 503")
	default:
		c.ui.hint("publish the same builds again under the same IDs, or restore a copy of the store; nodes answer 503 for the damage until then")
	}
}

func (c *cli) tellProblem(p *scrub.Problem) {
	state := ""
	if p.Repaired {
		state = ": " + green.paint("repaired", c.ui.outColor)
	}
	c.ui.say("%s %s %s%s", red.paint(string(p.Kind), c.ui.outColor), p.What, p.Name, state)
	if len(p.Releases) > 0 {
		c.ui.say("  hits %s", some(texts(p.Releases), 5))
	}
	if len(p.Files) > 0 {
		c.ui.say("  file %s", some(p.Files, 5))
	}
	c.ui.say("  %s", p.Detail)
}

func (c *cli) tellUnencoded(all []scrub.Unencoded) {
	if len(all) == 0 {
		return
	}
	releases := make([]string, len(all))
	for i, u := range all {
		releases[i] = fmt.Sprintf("%s (%s, such as %s)", u.ReleaseName, count(u.Files, "file"), u.Example)
	}
	c.ui.say("sent larger than necessary, for lack of encoded forms: %s", some(releases, 3))
}

func texts[T fmt.Stringer](list []T) []string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = v.String()
	}
	return words
}

// some joins the first few words and counts the others.
func some(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
