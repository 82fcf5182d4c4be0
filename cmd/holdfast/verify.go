package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func (c *cli) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check all stored bytes",
		Long: `Reads every object, manifest and inventory that a release needs, retired ones
included, and checks it against the digest that names it. Nothing is changed. It
reads the whole store: run it after trouble with a disk, after a restore, or
every now and then. Nodes may go on serving meanwhile.

What is missing comes back when the same build is published again under its ID, as
does what has a wrong length. What is corrupt otherwise nobody replaces: delete it
from the store first. Or bring either back from a copy of the store: a file under
its name, which is the digest of its bytes.

Exit code 1 if anything is missing or damaged.

JSON keys: releases, objects, bytes, problems (kind: missing, corrupt, unreadable
or dangling; what: manifest, inventory or object; name, files, releases, detail).`,
		Example: `  holdfast verify
  holdfast verify --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), existing, func(b *backends) error {
				return c.verify(cmd.Context(), b, asJSON)
			})
		},
	}
	jsonFlag(cmd.Flags(), &asJSON)
	return cmd
}

// verification is what verify found out; its JSON form is documented there.
type verification struct {
	Releases int       `json:"releases"`
	Objects  int       `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Problems []problem `json:"problems"`
}

// problem is something that is not as a release needs it.
type problem struct {
	Kind     string   `json:"kind"`
	What     string   `json:"what"`
	Name     string   `json:"name"`
	Files    []string `json:"files,omitempty"` // paths that need it
	Releases []string `json:"releases"`        // app@release that are hit
	Detail   string   `json:"detail"`
}

// use is what needs an object, and what it should be.
type use struct {
	size     int64
	files    []string
	releases []string
}

// verifier collects what all releases need, and then checks it.
type verifier struct {
	b       *backends
	objects map[holdfast.ObjectName]*use
	mu      sync.Mutex // guards found while objects are read
	found   verification
}

func (c *cli) verify(ctx context.Context, b *backends, asJSON bool) error {
	start := time.Now()
	v := &verifier{b: b, objects: make(map[holdfast.ObjectName]*use), found: verification{Problems: []problem{}}}
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	for _, app := range snap.Apps {
		for i := range app.Releases {
			if r := &app.Releases[i]; r.State != holdfast.Gone {
				v.release(ctx, r)
			}
		}
	}
	if err := v.readObjects(ctx, c.progress("verified")); err != nil {
		return err
	}
	slices.SortFunc(v.found.Problems, func(a, b problem) int { return strings.Compare(a.What+a.Name, b.What+b.Name) })
	if asJSON {
		err = c.ui.json(v.found)
	} else {
		c.tellVerified(&v.found, time.Since(start))
	}
	if len(v.found.Problems) > 0 && err == nil {
		err = errReported
	}
	return err
}

// release checks manifest and inventory of a release and notes its objects.
func (v *verifier) release(ctx context.Context, r *registry.ReleaseInfo) {
	v.found.Releases++
	name := r.App.String() + "@" + r.ID.String()
	m, err := v.b.store.Manifest(ctx, r.Manifest)
	if err != nil {
		v.report("manifest", r.Manifest.String(), nil, []string{name}, err)
	}
	inv, invErr := v.b.store.Inventory(ctx, r.Inventory)
	if invErr != nil {
		v.report("inventory", r.Inventory.String(), nil, []string{name}, invErr)
	}
	if err != nil || invErr != nil {
		return
	}
	if err := inv.Covers(m); err != nil {
		v.dangling(r.Inventory.String(), name, err)
	}
	paths := make(map[holdfast.Digest][]string)
	for i := range m.Files() {
		f := &m.Files()[i]
		paths[f.Digest] = append(paths[f.Digest], f.Path)
	}
	for _, o := range inv.Objects() {
		u := v.objects[o.Name]
		if u == nil {
			u = &use{size: o.Size}
			v.objects[o.Name] = u
		}
		u.files = append(u.files, paths[o.Digest]...)
		u.releases = append(u.releases, name)
	}
}

func (v *verifier) dangling(inventory, release string, err error) {
	v.found.Problems = append(v.found.Problems, problem{"dangling", "inventory", inventory, nil, []string{release}, err.Error()})
}

// readObjects reads all objects, several at a time.
func (v *verifier) readObjects(ctx context.Context, p *progress) error {
	defer p.finish()
	p.update(func(a *amount) {
		a.files = len(v.objects)
		for _, u := range v.objects {
			a.bytes += u.size
		}
	})
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0) * 2)
	for name, u := range v.objects {
		group.Go(func() error {
			err := v.b.store.VerifyObject(ctx, name, u.size)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return err // the store hangs, and would for every other object
			}
			p.update(func(a *amount) { a.filesDone++; a.bytesDone += u.size })
			v.mu.Lock()
			defer v.mu.Unlock()
			v.found.Objects++
			v.found.Bytes += u.size
			if err != nil {
				v.report("object", name.String(), distinct(u.files), distinct(u.releases), err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (v *verifier) report(what, name string, files, releases []string, err error) {
	for i, p := range v.found.Problems {
		if p.What == what && p.Name == name {
			v.found.Problems[i].Releases = append(p.Releases, releases...)
			return
		}
	}
	kind := "unreadable"
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		kind = "missing"
	case errors.Is(err, holdfast.ErrCorrupt):
		kind = "corrupt"
	}
	v.found.Problems = append(v.found.Problems, problem{kind, what, name, files, releases, err.Error()})
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *cli) tellVerified(v *verification, took time.Duration) {
	const most = 50
	for _, p := range v.Problems[:min(len(v.Problems), most)] {
		c.ui.say("%s %s %s", red.paint(p.Kind, c.ui.outColor), p.What, p.Name)
		c.ui.say("  hits %s", some(p.Releases, 5))
		if len(p.Files) > 0 {
			c.ui.say("  file %s", some(p.Files, 5))
		}
		c.ui.say("  %s", p.Detail)
	}
	if more := len(v.Problems) - most; more > 0 {
		c.ui.say("and %s; --json lists all", count(more, "more problem"))
	}
	checked := fmt.Sprintf("%s of %s, %s, checked in %s", count(v.Objects, "object"), count(v.Releases, "release"), humanSize(v.Bytes), humanDuration(took))
	if len(v.Problems) == 0 {
		c.ui.say("%s: all is well", checked)
		return
	}
	c.ui.say("%s: %s", checked, red.paint(count(len(v.Problems), "problem"), c.ui.outColor))
	c.ui.hint("publish the same builds again, after deleting what is corrupt, or bring these back from a copy of the store; nodes never send what is damaged, they answer 503 for it")
}

// some joins the first few words and counts the others.
func some(words []string, most int) string {
	if len(words) <= most {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
}
