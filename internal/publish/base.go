package publish

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// wrongBase finds pages that stay blank because the build expects another path than the
// app's mount.
func (b *Build) wrongBase(s *Subject) []Finding {
	votes, blank, first := make(map[string]int), 0, ""
	for i := range b.traits.pages {
		p := &b.traits.pages[i]
		if base, ok := b.expectedBase(p, s.Settings.Mount); ok {
			votes[base]++
			blank++
			first = cmp.Or(first, p.path)
		}
	}
	if blank == 0 {
		return nil
	}
	base := slices.MaxFunc(slices.Sorted(maps.Keys(votes)), func(a, b string) int { return cmp.Compare(votes[a], votes[b]) })
	which := first
	if blank > 1 {
		which = fmt.Sprintf("%s and %d more pages", first, blank-1)
	}
	mount := s.Settings.Mount
	f := Finding{
		Code: FoundBase, Severity: s.strictly(),
		Message: fmt.Sprintf("the build is made for the path %s/, and app %s has the mount path %s: %s would stay blank", base, s.App, cmp.Or(mount.Path(), "/"), which),
		Hint:    fmt.Sprintf("set %s and build again, or move the app to where the build expects it", b.tool().baseOption(mount.Path())),
		Command: fmt.Sprintf("app set %s mount=%s%s", s.App, mount.Host(), cmp.Or(base, "/")),
	}
	if f.Severity == Fatal && s.NewApp { // which is not made then, and cannot be moved
		f.Hint, f.Command = fmt.Sprintf("set %s and build again", b.tool().baseOption(mount.Path())), ""
	}
	return []Finding{f}
}

// expectedBase returns the path, without its last slash, that a page's scripts and
// stylesheets would have to be below; false if some of them are found where their
// absolute URLs lead, or if none belongs to the build. Relative ones are found anywhere.
func (b *Build) expectedBase(p *page, mount holdfast.Mount) (string, bool) {
	votes := make(map[string]int)
	for _, ref := range p.code {
		u, ok := follow(mount, p.path, p.base, ref)
		if !ok || !strings.HasPrefix(ref, "/") && !strings.HasPrefix(p.base, "/") {
			continue
		}
		if below, inside := strings.CutPrefix(u.Path, mount.Path()+"/"); inside && b.hasFile(withoutID(below)) {
			return "", false
		}
		if base, ok := b.baseOf(u.Path); ok {
			votes[base]++
		}
	}
	if len(votes) == 0 {
		return "", false
	}
	return slices.MaxFunc(slices.Sorted(maps.Keys(votes)), func(a, b string) int { return cmp.Compare(votes[a], votes[b]) }), true
}

// baseOf returns the part before a build file's path in the path of a URL; if several
// files match, it uses the longest path.
func (b *Build) baseOf(p string) (base string, ok bool) {
	for rest := strings.TrimPrefix(p, "/"); rest != ""; {
		if b.hasFile(withoutID(rest)) {
			return strings.TrimSuffix(strings.TrimSuffix(p, rest), "/"), true
		}
		_, rest, _ = strings.Cut(rest, "/")
	}
	return "", false
}

// withoutID drops the release from a path that names one.
func withoutID(p string) string {
	if _, below, ok := cutPinned(p); ok {
		return below
	}
	return p
}
