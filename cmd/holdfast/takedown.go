package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
)

type takedownOptions struct {
	app     holdfast.AppName
	release holdfast.ReleaseID // zero: any
	digests []holdfast.Digest
	allow   string
	list    bool
	dryRun  bool
	reason  reasonFlags
	wait    time.Duration
}

func (c *cli) takedownCommand() *cobra.Command {
	var o takedownOptions
	cmd := &cobra.Command{
		Use:   "takedown PATH… | --digest DIGEST | --list | --allow DIGEST",
		Short: "Remove leaked bytes everywhere, at once",
		Long: `Takes bytes down: for a file that must not be seen any more, such as one with a
secret. It applies to bytes, not to a release: every file of every app with these
bytes answers 410 under every URL, on all nodes, as soon as they read the
registry. The bytes are deleted from the store and from memory and disks of all
nodes, and publishing them again is refused, in any app. The releases keep their
other files.

PATH is a path of the app's files, or a URL of one. All releases of the app are
searched, including retired ones; if they have different bytes under the path, all
of these are taken down, unless --release names one release. --dry-run only lists
the releases with the bytes.

The command prints what to purge at a CDN, and waits until every running node has
deleted the bytes. Stopped nodes delete them at startup; the leading node cleans
an unreachable store once it can.

--list shows the takedowns, and what is still to be deleted. --allow permits
publishing the bytes again; releases that had them get them back only that way.

Exit code 1 if a running node has not removed the bytes within --wait.

JSON keys: dryRun, takedowns (digest, allowed, removed, takenDown, by, message,
found: app, release, paths; more), purge, urls, nodes (total, ready, lagging: node,
address, why).`,
		Example: `  holdfast takedown config.js --dry-run
  holdfast takedown config.js --message "holds the key of the payment service"
  holdfast takedown https://www.example.com/@2024-05-17.1/config.js
  holdfast takedown --list
  holdfast takedown --allow 5df6e0e2`,
		Args: o.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				switch {
				case o.list:
					return c.listTakedowns(cmd.Context(), b)
				case o.allow != "":
					return c.allowTakedown(cmd.Context(), b, o)
				}
				return c.takedown(cmd.Context(), b, o, args)
			})
		},
	}
	flags := cmd.Flags()
	appFlag(flags, &o.app)
	releaseFlag(flags, &o.release, "release", "only this release's bytes under the path")
	flags.Var(&list[holdfast.Digest]{into: &o.digests, parse: holdfast.ParseDigest, kind: "digest"}, "digest", "take down the bytes with this SHA-256, 64 hex digits; may be repeated")
	o.reason.flags(flags)
	flags.BoolVar(&o.dryRun, "dry-run", false, "list the releases with the bytes; change nothing")
	flags.BoolVar(&o.list, "list", false, "show what is taken down")
	flags.StringVar(&o.allow, "allow", "", "permit publishing these bytes again: a `digest` of the list, or its first 8 digits")
	waitFlag(flags, &o.wait)
	jsonFlag(flags)
	return cmd
}

func (o *takedownOptions) args(cmd *cobra.Command, args []string) error {
	ways := 0
	for _, given := range []bool{len(args) > 0, len(o.digests) > 0, o.list, o.allow != ""} {
		if given {
			ways++
		}
	}
	switch {
	case ways != 1:
		return hinted(usage("takedown needs either paths, or --digest, --list or --allow"), "usage: %s", cmd.UseLine())
	case len(args) == 0 && !o.release.IsZero():
		return usage("--release goes with paths")
	}
	return nil
}

// takedownDoc is the JSON output of takedown.
type takedownDoc struct {
	DryRun    bool        `json:"dryRun"`
	Takedowns []takenDown `json:"takedowns"`
	CacheTags []string    `json:"purge,omitempty"` // cache tags, at the CDN
	URLs      []string    `json:"urls,omitempty"`  // likewise, the first few
	Nodes     nodesReport `json:"nodes"`
}

// takenDown is one file in it.
type takenDown struct {
	Digest  holdfast.Digest          `json:"digest"`
	Allowed bool                     `json:"allowed"`
	Removed bool                     `json:"removed"` // from the store that nodes share
	At      time.Time                `json:"takenDown,omitzero"`
	By      string                   `json:"by,omitempty"`
	Message string                   `json:"message,omitempty"`
	Found   []registry.TakedownFound `json:"found"`
	More    int                      `json:"more,omitempty"` // releases that found leaves out
}

func (c *cli) takedown(ctx context.Context, b *backends, o takedownOptions, paths []string) error {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return err
	}
	storeErr := c.tryStore(ctx, b)
	if storeErr != nil && len(paths) > 0 {
		return hinted(fmt.Errorf("finding the bytes of a path needs the store: %w", storeErr),
			"if you know their SHA-256, take them down without the store: holdfast takedown --digest DIGEST")
	}
	digests := o.digests
	if len(paths) > 0 {
		if digests, err = c.digestsOf(ctx, b, o, paths); err != nil {
			return err
		}
	}
	if slices.Contains(digests, holdfast.DigestOf(nil)) {
		return usage("a file of 0 bytes holds nothing to take down, and every empty file of every app would answer 410")
	}
	found := &prune.Found{}
	if storeErr == nil {
		if found, err = prune.Find(ctx, b.store, snap, digests); err != nil {
			return err
		}
	}
	t := takingDown{cli: c, b: b, o: o, snap: snap, digests: digests, found: found, storeErr: storeErr}
	return t.run(ctx)
}

// tryStore opens the store, if it is available.
func (c *cli) tryStore(ctx context.Context, b *backends) error {
	if b.store != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return b.openStore(ctx, c, existing, nil)
}

// digestsOf returns the bytes that the releases of an app have under paths, each named
// to the user where there are several.
func (c *cli) digestsOf(ctx context.Context, b *backends, o takedownOptions, paths []string) ([]holdfast.Digest, error) {
	state, err := b.app(ctx, o.app)
	if err != nil {
		return nil, err
	}
	var all []holdfast.Digest
	for _, text := range paths {
		wanted := parseWanted(text, state)
		if !o.release.IsZero() {
			wanted.release = o.release
		}
		if !wanted.release.IsZero() {
			if _, err := b.release(ctx, o.app, wanted.release); err != nil {
				return nil, err
			}
		}
		digests, err := wanted.digests(ctx, b, state)
		if err != nil {
			return nil, err
		}
		if len(digests) > 1 {
			c.ui.note("releases have %d different files under %s: all of them are taken down; --release narrows that", len(digests), wanted.path)
		}
		all = append(all, digests...)
	}
	slices.SortFunc(all, func(a, b holdfast.Digest) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(all), nil
}

// wantedPath is a parsed path or URL.
type wantedPath struct {
	path    string
	release holdfast.ReleaseID // zero: any
	prefix  string             // of the digest, "" for any
}

// parseWanted reads a path below the app's mount, or a copied URL.
func parseWanted(text string, state *registry.AppState) wantedPath {
	if _, rest, ok := strings.Cut(text, "://"); ok {
		_, text, _ = strings.Cut(rest, "/")
	}
	text, query, _ := strings.Cut(text, "?")
	w := wantedPath{path: strings.TrimPrefix(text, "/")}
	mount := strings.Trim(state.Settings.Mount.Path(), "/")
	if rest, ok := strings.CutPrefix(w.path, mount+"/"); ok && mount != "" {
		w.path = rest
	}
	if first, rest, ok := strings.Cut(w.path, "/"); ok && strings.HasPrefix(first, "@") {
		if id, err := holdfast.ParseReleaseID(first[1:]); err == nil {
			w.release, w.path = id, rest
		}
	}
	if first, rest, ok := strings.Cut(w.path, "/"); ok && strings.HasPrefix(first, "~") && holdfast.IsHex(first[1:]) {
		w.prefix, w.path = first[1:], rest
	}
	for part := range strings.SplitSeq(query, "&") {
		if id, err := holdfast.ParseReleaseID(strings.TrimPrefix(part, "dpl=")); err == nil && strings.HasPrefix(part, "dpl=") {
			w.release = id
		}
	}
	return w
}

// digests returns the matching bytes in all releases, including retired and gone ones.
func (w *wantedPath) digests(ctx context.Context, b *backends, state *registry.AppState) (all []holdfast.Digest, err error) {
	var paths []string
	seen := make(map[holdfast.Digest]bool)
	unread := 0
	for i := range state.Releases {
		r := &state.Releases[i]
		if !w.release.IsZero() && r.ID != w.release || seen[r.Manifest] {
			continue
		}
		seen[r.Manifest] = true
		m, err := b.store.Manifest(ctx, r.Manifest)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			unread++
			continue
		}
		if f := w.lookUp(m); f != nil && f.Digest.HasPrefix(w.prefix) {
			all = append(all, f.Digest)
		}
		for j := range m.Files() {
			paths = append(paths, m.Files()[j].Path)
		}
		slices.Sort(paths)
		paths = slices.Compact(paths)
	}
	slices.SortFunc(all, func(a, b holdfast.Digest) int { return cmp.Compare(a.String(), b.String()) })
	if all = slices.Compact(all); len(all) > 0 {
		return all, nil
	}
	where := "no release of app " + state.Name.String()
	if !w.release.IsZero() {
		return nil, hinted(missing("release %s of app %s has no file %s", w.release, state.Name, w.path), "%sholdfast manifest --release %s lists its files", meant("", nearest(w.path, paths)), w.release)
	}
	err = missing("%s has a file %s", where, w.path)
	if unread > 0 {
		err = missing("%s has a file %s, but the files of %s are not in this store", where, w.path, count(unread, "release"))
	}
	return nil, hinted(err, "%sname the app with --app, or the bytes with --digest", meant("", nearest(w.path, paths)))
}

// lookUp finds a file, including by the other names of a document.
func (w *wantedPath) lookUp(m *holdfast.Manifest) *holdfast.File {
	for _, path := range []string{w.path, strings.TrimSuffix(w.path, "/") + "/index.html", w.path + ".html"} {
		if f, ok := m.Lookup(strings.TrimPrefix(path, "/")); ok {
			return f
		}
	}
	return nil
}

func (c *cli) allowTakedown(ctx context.Context, b *backends, o takedownOptions) error {
	down, err := b.registry.Takedowns(ctx)
	if err != nil {
		return err
	}
	var fit []holdfast.Takedown
	for _, t := range down.All() {
		if len(o.allow) >= 8 && t.Digest.HasPrefix(strings.ToLower(o.allow)) {
			fit = append(fit, t)
		}
	}
	switch {
	case len(fit) == 0:
		return hinted(missing("no takedown has the digest %s", o.allow), "holdfast takedown --list shows them; give at least 8 digits")
	case len(fit) > 1:
		return usage("the digits %s match %s: give more of them", o.allow, count(len(fit), "file"))
	}
	if down, err = b.registry.AllowTakedown(ctx, fit[0].Digest, c.reason(o.reason).By); err != nil {
		return err
	}
	doc, err := c.takedownDoc(ctx, b, down, []holdfast.Digest{fit[0].Digest})
	if err != nil {
		return err
	}
	c.ui.report(doc)
	c.ui.say("the bytes %s may be published again", fit[0].Digest)
	for _, t := range doc.Takedowns {
		c.ui.say("these releases answer 410 for them until the same build is published again under the same ID: %s", foundIn(t.Found, t.More))
	}
	return nil
}
