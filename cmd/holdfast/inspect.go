package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// apartFromProject refuses a directory that holds the source of a build, or the
// code of a server: all of it would go out to the web.
func (c *cli) apartFromProject(dir string, asIs bool) error {
	project, found := publish.FindProject(dir)
	if !found || asIs {
		return nil
	}
	err := fmt.Errorf("%s looks like a project rather than a build: it has %s", dir, prose(project.Signs, "and"))
	if len(project.Builds) == 0 {
		return hinted(err, "run the build, then publish the directory it writes to, such as dist, build or out; --as-is publishes this one")
	}
	builds := make([]string, len(project.Builds))
	for i, b := range project.Builds {
		builds[i] = shellWord(filepath.Join(dir, filepath.FromSlash(b)))
	}
	return hinted(err, "publish its build instead: %s; --as-is publishes this one", prose(builds, "or"))
}

// inspect finds problems of a build. A fatal one is an error; everything else is a
// finding.
func (c *cli) inspect(ctx context.Context, b *backends, build *publish.Build, settings holdfast.Settings, o publishOptions) ([]publish.Finding, error) {
	s := publish.Subject{App: o.app, Settings: settings, ID: o.release, Activate: !o.activate.IsZero(), Strict: o.strict, Same: o.same}
	id, named, err := build.ReleaseID(o.release)
	switch {
	case err == nil:
		s.ID, s.Named = id, named
	case !o.asIs:
		return nil, err
	}
	state, err := b.registry.App(ctx, o.app)
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		s.NewApp = true
	case err != nil:
		return nil, err
	default:
		s.Releases = state.Releases
	}
	if s.Live = liveAmong(s.Releases, o.activate); s.Live != nil {
		if files, err := b.store.Manifest(ctx, s.Live.Manifest); err == nil { // otherwise it is compared by its size alone
			s.LiveFiles = files
		}
	}
	found := build.Inspect(&s)
	if i := slices.IndexFunc(found, func(f publish.Finding) bool { return f.Severity == publish.Fatal }); i >= 0 {
		return nil, hinted(fmt.Errorf("%s", found[i].Message), "%s", c.cure(&found[i]))
	}
	return found, nil
}

// liveAmong returns the release that is live on a side, the default one if that is zero.
func liveAmong(releases []registry.ReleaseInfo, side holdfast.Side) *registry.ReleaseInfo {
	if side.IsZero() {
		side = holdfast.DefaultSide()
	}
	i := slices.IndexFunc(releases, func(r registry.ReleaseInfo) bool { return slices.Contains(r.Sides, side) })
	if i < 0 {
		return nil
	}
	return &releases[i]
}

// clashFindings are the clashes that --allow-clash permitted.
func clashFindings(clashes []string) []publish.Finding {
	if len(clashes) == 0 {
		return nil
	}
	return []publish.Finding{{
		Code: publish.FoundClash, Severity: publish.Warning,
		Message: fmt.Sprintf("%s had other bytes before and will be revalidated each time: %s; copies in browsers and CDNs cannot be fixed",
			count(len(clashes), "name"), some(clashes, 5)),
	}}
}

// cure is the hint to a finding, with the command that helps, if one does.
func (c *cli) cure(f *publish.Finding) string {
	if f.Command == "" {
		return f.Hint
	}
	return f.Hint + ": " + c.program + " " + f.Command
}

// tellFindings prints the findings: the first few of each kind, and the fix once.
func (c *cli) tellFindings(found []publish.Finding) {
	const most = 10
	for len(found) > 0 {
		first := found[0]
		end := slices.IndexFunc(found, func(f publish.Finding) bool { return f.Code != first.Code || f.Hint != first.Hint })
		if end < 0 {
			end = len(found)
		}
		for _, f := range found[:min(end, most)] {
			if f.Severity == publish.Note {
				c.ui.note("%s", f.Message)
			} else {
				c.ui.warn("", "%s", f.Message)
			}
		}
		if more := end - most; more > 0 {
			c.ui.warn("", "and %s", count(more, "more missing reference"))
		}
		if cure := c.cure(&first); cure != "" {
			c.ui.hint(cure)
		}
		found = found[end:]
	}
}

// previewAt is a release's preview URL on a node: below the release's own URL if its
// pages are pinned or work under any path, otherwise with its name in the query.
func previewAt(build *publish.Build, settings *holdfast.Settings, id holdfast.ReleaseID, pinned bool) string {
	at := strings.TrimSuffix(settings.Mount.String(), "/")
	if pinned || build.Relocatable() {
		return fmt.Sprintf("%s/@%s/", at, id)
	}
	return fmt.Sprintf("%s/?dpl=%s", at, id)
}
