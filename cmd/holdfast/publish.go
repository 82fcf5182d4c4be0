package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	app        holdfast.AppName
	release    holdfast.ReleaseID // zero: auto
	activate   holdfast.Side      // zero: nowhere
	effort     string
	allowClash bool
	strict     bool
	dryRun     bool
	asIs       bool // publish a directory that does not look like a build, or expects another ID
	same       bool // activate the files of another release under a new ID
	maxSize    int64
	maxFiles   int
	create     bool
	flip       flipOptions
}

func (c *cli) publishCommand() *cobra.Command {
	var o publishOptions
	cmd := &cobra.Command{
		Use:   "publish DIR",
		Short: "Publish a build as a release",
		Long: `Publishes the files of a directory, as your build tool wrote it, as a release of an
app. The release gets an ID that is bound to exactly these files permanently; "auto"
derives one from their digest. The release becomes visible once it is stored
completely. If interrupted, the same command finishes the work.

Files are compressed here, once, as br, zstd and gzip. Objects of earlier releases
are reused. Dotfiles (except .well-known) are left out, and source maps if the
app's settings say so.

A published release is served under its own URLs, for a preview; --activate also
makes it live. Publishing the same build under the same ID again changes nothing,
except that it restores a retired release, or files that the store has lost.

If other apps exist, a new app is created only with --create, because the name may
be a typo. The same holds for a new side.

Refused are: other files under an ID that is taken, other bytes under a name that
carries a hash (browsers keep such files for a year; --allow-clash publishes them
all the same and never lets them be cached for long again), and symlinks that
leave the directory. Refused as well are a project instead of its build, and a
build whose pages ask for the files of another release (--as-is publishes them);
and with --activate the files that another release has
already, under a new ID (--same).

JSON keys: app, release, outcome (added, unchanged, restored), dryRun, manifest,
files, bytes, reused, reusedBytes, encoded, verified, uploaded, uploadedBytes,
restoredObjects (of the uploaded ones, those that the store had lost), leftOut
(path, reason), missing (from, ref, resolved, maybe), clashes, findings (code,
severity, message, hint, command), seconds, and with --activate: activation (as
printed by holdfast activate).`,
		Example: `  holdfast publish ./dist --activate
  holdfast publish ./dist --app shop --release 2024-05-17.1
  holdfast publish ./dist --release auto --activate=canary --create --strict
  holdfast publish ./dist --dry-run`,
		Args: exactlyBuild,
		RunE: func(cmd *cobra.Command, args []string) error {
			how := create
			if info, err := os.Stat(args[0]); o.dryRun || err != nil || !info.IsDir() {
				how = pretend // a slip in the name leaves no registry behind
			}
			return c.with(cmd.Context(), how, func(b *backends) error {
				return c.publish(cmd.Context(), b, args[0], o)
			})
		},
	}
	o.flags(cmd.Flags())
	return cmd
}

func (o *publishOptions) flags(flags *pflag.FlagSet) {
	appFlag(flags, &o.app)
	flags.Var(&value[holdfast.ReleaseID]{&o.release, parseReleaseOrAuto, "ID", "auto"}, "release", "the release's ID; auto: from the digest of its files")
	flags.Var(&value[holdfast.Side]{&o.activate, holdfast.ParseSide, "side", ""}, "activate", "also make it live on a side")
	flags.Lookup("activate").NoOptDefVal = holdfast.DefaultSide().String()
	createFlag(flags, &o.create, "the app, or the side to activate on,")
	choiceFlag(flags, &o.effort, "effort", "how hard to compress", string(coding.Best), string(coding.Fast))
	flags.BoolVar(&o.allowClash, "allow-clash", false, "publish other bytes under names that contain a hash")
	flags.BoolVar(&o.strict, "strict", false, "fail if a file refers to one that is missing, or the base path is wrong")
	flags.BoolVar(&o.asIs, "as-is", false, "publish a project's directory, or a build made for another ID")
	flags.BoolVar(&o.same, "same", false, "activate even if another release has the same files")
	flags.BoolVar(&o.dryRun, "dry-run", false, "print what would happen; write nothing")
	o.maxSize, o.maxFiles = publish.DefaultMaxBytes, publish.DefaultMaxFiles
	flags.Var(&value[int64]{&o.maxSize, parseSize, "size", "5GiB"}, "max-size", "refuse builds with more bytes")
	flags.IntVar(&o.maxFiles, "max-files", o.maxFiles, "refuse builds with more files, a `number`")
	o.flip.flags(flags)
	configurable(flags, "effort", "max-size", "max-files")
}

// exactlyBuild requires one directory, and recognizes a common mistake.
func exactlyBuild(cmd *cobra.Command, args []string) error {
	err := exactly("DIR")(cmd, args)
	if len(args) == 2 && cmd.Flags().Changed("activate") && holdfast.IsName(args[1]) {
		return hinted(err, "a side is given with an equals sign: --activate=%s", args[1])
	}
	return err
}

func parseReleaseOrAuto(text string) (holdfast.ReleaseID, error) {
	if text == "auto" {
		return holdfast.ReleaseID{}, nil
	}
	return holdfast.ParseReleaseID(text)
}

// published is the result of publish; the help documents its JSON form.
type published struct {
	App      holdfast.AppName   `json:"app"`
	Release  holdfast.ReleaseID `json:"release"`
	Outcome  string             `json:"outcome"`
	DryRun   bool               `json:"dryRun"`
	Manifest holdfast.Digest    `json:"manifest"`
	Files    int                `json:"files"`
	Bytes    int64              `json:"bytes"`
	Pages    int                `json:"pages"` // that have pinned variants
	publish.Counts
	LeftOut    []publish.LeftOut          `json:"leftOut"`
	Missing    []publish.MissingReference `json:"missing"`
	Clashes    []string                   `json:"clashes"`
	Findings   []publish.Finding          `json:"findings"`
	Seconds    float64                    `json:"seconds"`
	Activation *flip                      `json:"activation,omitempty"`

	mended   bool   // of an unchanged release, something was stored again
	repinned bool   // its pages were pinned in another way
	base     string // the URL path at the start of pinned pages' references
	place    string // where a preview is seen: host and path
	live     bool   // on some side already
}

func (c *cli) publish(ctx context.Context, b *backends, dir string, o publishOptions) error {
	start := time.Now()
	p, err := c.publishBuild(ctx, b, dir, o)
	if err != nil {
		return err
	}
	p.Seconds = time.Since(start).Seconds()
	if !c.ui.wantsJSON {
		c.tellPublished(p)
	}
	if !o.activate.IsZero() && !o.dryRun {
		if p.Activation, err = c.activatePublished(ctx, b, p, o); err != nil {
			c.ui.report(p) // that much is done
			return err
		}
	}
	if c.ui.report(p) {
		return nil
	}
	c.tellAfterPublish(p, o)
	return nil
}

// publishBuild scans and publishes a directory.
func (c *cli) publishBuild(ctx context.Context, b *backends, dir string, o publishOptions) (*published, error) {
	if err := c.apartFromData(dir); err != nil {
		return nil, err
	}
	if err := c.apartFromProject(dir, o.asIs); err != nil {
		return nil, err
	}
	if err := c.storesForNodes(ctx, b.registry); err != nil {
		return nil, err
	}
	settings, err := b.publishTo(ctx, o)
	if err != nil {
		return nil, b.adviseOnName(ctx, err)
	}
	build, err := publish.Scan(ctx, dir, publish.ScanOptions{
		Mount: settings.Mount, Pinned: settings.Pinned, SourceMaps: settings.SourceMaps, Strict: o.strict, MaxFiles: o.maxFiles, MaxBytes: o.maxSize,
	})
	if err != nil {
		return nil, err
	}
	found, err := c.inspect(ctx, b, build, settings, o)
	if err != nil {
		return nil, err
	}
	bar := c.progress("stored")
	result, err := publish.Publish(ctx, publish.Deps{Store: b.store, Registry: b.registry}, build, publish.Options{
		App: o.app, Create: o.create, By: publisher(), ID: o.release, Settings: settings, Effort: coding.Effort(o.effort), AllowClash: o.allowClash, AnyID: o.asIs, DryRun: o.dryRun,
		Apps: b.registry.Apps,
		Progress: func(p publish.Progress) {
			bar.update(amountOf(p))
		},
	})
	bar.finish()
	if err != nil {
		return nil, advisePublish(b.adviseOnName(ctx, err), o.app)
	}
	r := result.Release
	live, err := b.isLive(ctx, result)
	if err != nil {
		return nil, err
	}
	return &published{
		App: r.App, Release: r.ID, Outcome: outcome(result), DryRun: o.dryRun, Manifest: r.Manifest, Files: r.Files, Bytes: r.Bytes,
		Pages: result.Pages, Counts: result.Counts, LeftOut: notNil(build.LeftOut), Missing: notNil(build.Missing), Clashes: notNil(r.Clashes),
		Findings: notNil(append(found, clashFindings(r.Clashes)...)),
		mended:   result.Mended, repinned: result.Repinned, base: settings.PagesBase(r.ID), place: previewAt(build, &settings, r.ID, result.Pages > 0), live: live,
	}, nil
}

// isLive reports whether the release is live by now.
func (b *backends) isLive(ctx context.Context, r *publish.Result) (bool, error) {
	if !r.Unchanged {
		return false, nil
	}
	info, err := b.registry.Release(ctx, r.Release.App, r.Release.ID)
	if errors.Is(err, holdfast.ErrNotFound) {
		return false, nil // a dry run
	}
	return info.State == holdfast.Live, err
}

// apartFromData refuses a build that contains this program's own data, which would be
// published with it.
func (c *cli) apartFromData(dir string) error {
	build, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the build: %w", err)
	}
	data, err := filepath.Abs(c.global.data)
	if err != nil {
		return fmt.Errorf("find the data directory: %w", err)
	}
	if below, err := filepath.Rel(build, data); err == nil && filepath.IsLocal(below) {
		return hinted(usage("the data directory %s is inside the build %s", c.global.data, dir),
			"run this from outside the build, or name another place with --data")
	}
	return nil
}

func advisePublish(err error, app holdfast.AppName) error {
	if errors.Is(err, holdfast.ErrExists) {
		return hinted(err, "holdfast releases --app %s lists the IDs that are taken", app)
	}
	return err
}

func outcome(r *publish.Result) string {
	switch r.Outcome {
	case registry.Unchanged:
		return "unchanged"
	case registry.Restored:
		return "restored"
	}
	if r.Unchanged {
		return "unchanged"
	}
	return "added"
}

func (c *cli) activatePublished(ctx context.Context, b *backends, p *published, o publishOptions) (*flip, error) {
	second := fmt.Sprintf("holdfast activate %s%s", p.Release, flipFlags(p.App, o.activate))
	if o.create {
		second += " --create"
	}
	prepared, err := c.prepare(ctx, b, p.App, o.activate, p.Release, o.flip)
	if err != nil {
		err = fmt.Errorf("release %s was published, but not activated: %w", p.Release, err)
		if errors.Is(err, errNotReady) {
			return nil, hinted(err, "once that is fixed: %s, perhaps with a longer --wait; --force activates at once, and these nodes answer 503 for it", second)
		}
		return nil, err
	}
	defer prepared.Close() //nolint:errcheck // a lease, which ends by itself
	entry, changed, err := b.registry.Activate(ctx, p.App, p.Release, registry.ActivateOptions{Side: o.activate, Create: o.create, Reason: c.reason(o.flip.reason)})
	if err != nil {
		return nil, hinted(fmt.Errorf("release %s was published, but not activated: %w", p.Release, err), "%s", second)
	}
	f := newFlip(p.App, entry, changed)
	c.awaitFlip(ctx, b, f, o.flip.after())
	return f, nil
}

func (c *cli) tellAfterPublish(p *published, o publishOptions) {
	switch {
	case o.dryRun:
		c.ui.say("%s the same command without --dry-run", dim.paint("next:", c.ui.outColor))
	case p.Activation != nil:
		c.tell(p.Activation)
		if p.Activation.Nodes.Total == 0 {
			c.next("serve%s", flipFlags(holdfast.DefaultApp(), o.activate))
		}
	case p.live:
		c.ui.say("it is live already")
	default:
		c.ui.say("preview on any node: %s", p.place)
		c.next("activate %s%s", p.Release, flipFlags(p.App, holdfast.DefaultSide()))
	}
}
