package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/prune"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// takingDown is one takedown by this command.
type takingDown struct {
	*cli
	b        *backends
	o        takedownOptions
	snap     *registry.Snapshot
	digests  []holdfast.Digest
	found    *prune.Found
	storeErr error // why the store cannot be opened; nil if it is
}

func (t *takingDown) run(ctx context.Context) error {
	infos := t.infos()
	if t.o.dryRun {
		t.tellFound(infos, "would take down")
		t.ui.report(t.describe(infos, true))
		return nil
	}
	down, err := t.b.registry.TakeDown(ctx, infos, t.found.Forms)
	if err != nil {
		return err
	}
	t.tellFound(infos, "taken down:")
	for _, app := range t.apps() {
		if err := t.b.registry.TellTakedown(ctx, app, down.Seq(), infos); err != nil {
			t.ui.warn("nodes read the registry every few seconds, and then answer 410", "hooks and nodes of app %s were not notified: %v", app, err)
		}
	}
	if err := t.removeFromStore(ctx); err != nil {
		t.ui.warn("the leading node deletes them once it can; holdfast takedown --list shows the rest",
			"every node answers 410, but the bytes are still in the store: %v", err)
	}
	nodes, err := t.b.await(ctx, t.o.wait, lacksTakedown(down))
	if err != nil {
		return fmt.Errorf("the bytes are taken down, but node status could not be read: %w", err)
	}
	doc := t.describe(infos, false)
	if now, err := t.b.registry.Takedowns(ctx); err == nil {
		for i := range doc.Takedowns {
			one, _ := now.Find(doc.Takedowns[i].Digest)
			doc.Takedowns[i].Removed = one.Removed
		}
	}
	doc.Nodes = nodes
	t.ui.report(doc)
	t.tellRemoved(nodes)
	t.tellPurge(doc)
	if len(nodes.Lagging) > 0 {
		return errReported
	}
	return nil
}

// infos describe which releases have each file.
func (t *takingDown) infos() []registry.TakedownInfo {
	infos := make([]registry.TakedownInfo, len(t.digests))
	for i, d := range t.digests {
		infos[i] = registry.TakedownInfo{Digest: d, Reason: t.reason(t.o.reason), Found: []registry.TakedownFound{}}
		for _, h := range t.found.Holdings[d] {
			infos[i].Found = append(infos[i].Found, registry.TakedownFound{App: h.Release.App, Release: h.Release.ID, Paths: h.Paths})
		}
	}
	return infos
}

// apps are those that have any of the files.
func (t *takingDown) apps() (apps []holdfast.AppName) {
	for app := range t.snap.All() {
		has := func(h prune.Holding) bool { return h.Release.App == app.Name }
		if slices.ContainsFunc(t.digests, func(d holdfast.Digest) bool { return slices.ContainsFunc(t.found.Holdings[d], has) }) {
			apps = append(apps, app.Name)
		}
	}
	return apps
}

func (t *takingDown) removeFromStore(ctx context.Context) error {
	switch {
	case t.storeErr != nil:
		return t.storeErr
	case t.private(): // and so do other nodes with theirs
		down, err := t.b.registry.Takedowns(ctx)
		if err == nil {
			_, err = t.b.store.DeleteDead(ctx, down)
		}
		return err
	}
	return prune.RemoveTakenDown(ctx, prune.Config{Registry: t.b.registry, Store: t.b.store})
}

// tellFound says which files of which releases it is about.
func (t *takingDown) tellFound(infos []registry.TakedownInfo, verb string) {
	for i := range infos {
		info := &infos[i]
		t.ui.say("%s %s", verb, bold.paint(info.Digest.String(), t.ui.outColor))
		t.ui.say("  %s", foundIn(info.Found, 0))
	}
	for app := range t.snap.All() {
		for _, side := range app.Sides {
			if paths := t.pathsOf(app.Name, side.Live); len(paths) > 0 {
				t.ui.warn("publish and activate a release without it", "release %s is live on side %s of app %s, and has it: its pages get 410 for %s", side.Live, side.Side, app.Name, some(paths, 3))
			}
		}
	}
	if n := len(t.found.Unread); n > 0 {
		t.ui.warn("", "the files of %s could not be read; any of them with these bytes also answer 410", count(n, "release"))
	}
	for _, form := range t.found.Shared {
		t.ui.warn("to also take it down: holdfast takedown --digest "+form.String(),
			"an encoded form is also a separate file, which stays: %s", form)
	}
}

// pathsOf are the paths of the files in a release.
func (t *takingDown) pathsOf(app holdfast.AppName, id holdfast.ReleaseID) (paths []string) {
	for _, d := range t.digests {
		for _, h := range t.found.Holdings[d] {
			if h.Release.App == app && h.Release.ID == id {
				paths = append(paths, h.Paths...)
			}
		}
	}
	return paths
}

func (t *takingDown) tellRemoved(nodes nodesReport) {
	t.ui.say("every URL of these bytes now answers 410, and publishing them is refused")
	switch {
	case nodes.Total == 0:
		t.ui.say("no node is running; nodes delete the bytes from their disks at startup, before they serve")
	default:
		t.ui.say("%d of %s deleted them from memory and disk", nodes.Ready, count(nodes.Total, "node"))
		t.tellLaggingTakedown(nodes)
	}
}

func (t *takingDown) tellLaggingTakedown(nodes nodesReport) {
	if len(nodes.Lagging) > 0 {
		t.tellLagging(nodes.Lagging)
	}
}

// purgeMost is how many URLs are printed.
const purgeMost = 20

func (t *takingDown) tellPurge(doc *takedownDoc) {
	if len(doc.CacheTags) > 0 {
		t.ui.say("purge at your CDN, which keeps its copies until then; browsers that have the file keep it:")
		t.ui.say("  tags  %s", some(doc.CacheTags, purgeMost))
		for _, url := range doc.URLs {
			t.ui.say("  URL   %s", url)
		}
	}
	t.ui.say("if it contained a secret, that has leaked: change it")
	for _, d := range t.digests[:min(len(t.digests), 3)] {
		t.undo("takedown --allow %s", d.Short())
	}
}

// describe builds the document of a takedown.
func (t *takingDown) describe(infos []registry.TakedownInfo, dry bool) *takedownDoc {
	doc := &takedownDoc{DryRun: dry, Takedowns: []takenDown{}}
	tags, purge := []string{}, []string{}
	mounts := make(map[holdfast.AppName]string)
	for app := range t.snap.All() {
		mounts[app.Name] = strings.TrimSuffix(app.Settings.Mount.String(), "/")
	}
	for i := range infos {
		info := &infos[i]
		doc.Takedowns = append(doc.Takedowns, takenDown{Digest: info.Digest, By: info.By, Message: info.Message, Found: info.Found})
		for _, f := range info.Found {
			tags = append(tags, f.App.String(), serve.ReleaseTag(f.App, f.Release))
			for _, p := range f.Paths {
				path := urls.EscapePath(p)
				purge = append(purge, mounts[f.App]+"/"+path, mounts[f.App]+"/@"+f.Release.String()+"/"+path, mounts[f.App]+"/~"+info.Digest.String()[:16]+"/"+path)
			}
		}
	}
	slices.Sort(tags)
	slices.Sort(purge)
	doc.CacheTags, doc.URLs = slices.Compact(tags), slices.Compact(purge)
	doc.URLs = doc.URLs[:min(len(doc.URLs), purgeMost)]
	return doc
}
