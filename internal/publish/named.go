package publish

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// namings are the release IDs that the build's own URLs name, as they are written
// there, each with the first file that has it and how: "index.html: ?dpl=r1".
type namings map[string]string

func (n namings) add(id, from, how string) {
	if where := from + ": " + how; n[id] == "" || where < n[id] {
		n[id] = where
	}
}

// namings collects them: "?dpl=<id>" (Next.js, and the deployment adapters of others),
// data-dpl-id (Next.js), and "/@<id>/…" or the app's own shape of it (a base chosen at
// build time). Only URLs of files that the build has count. Scripts count only where
// there is no page: their texts may be examples.
func (b *Build) namings(files []scanned, o ScanOptions, pages bool) namings {
	n := make(namings)
	for i := range files {
		f := &files[i]
		from, document := f.entry.path, holdfast.IsDocument(readableType(f.entry.path))
		if pages && !document {
			continue
		}
		for _, id := range f.clues.deployments {
			how := "?dpl=" + id
			if document {
				how = `data-dpl-id="` + id + `"`
			}
			n.add(id, from, how)
		}
		for _, ref := range f.clues.refs {
			if id, how, ok := b.idIn(from, f.clues.base, ref, o); ok {
				n.add(id, from, how)
			}
		}
	}
	return n
}

// idIn returns the release ID that a reference to a file of the build names, below
// the mount or below another base path.
func (b *Build) idIn(from, base, ref string, o ScanOptions) (id, how string, ok bool) {
	u, ok := follow(o.Mount, from, base, ref)
	if !ok {
		return "", "", false
	}
	p, inside := strings.CutPrefix(u.Path, o.Mount.Path()+"/")
	if other, found := b.baseOf(u.Path); !inside && found {
		p, inside = strings.CutPrefix(u.Path, other+"/")
	}
	if !inside {
		return "", "", false
	}
	if id, below, ok := cutPinned(p); ok {
		return id, "/@" + id + "/", b.has(below)
	}
	shape := holdfast.Settings{Pinned: o.Pinned}
	if id, below, ok := shape.CutPinned(p); ok && !b.hasFile(p) && b.hasFile(below) {
		return id, "/" + strings.TrimSuffix(p, below), true
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || !query.Has("dpl") {
		return "", "", false
	}
	return query.Get("dpl"), "?dpl=" + query.Get("dpl"), b.has(p)
}

// ReleaseID returns the ID under which the build is to be published. asked is zero
// for "auto": then it is the one that the build's own URLs name, or else the start
// of the manifest's digest. named: it comes from the build. ErrInvalid if its pages
// ask for the files of another release than asked, or do not agree.
func (b *Build) ReleaseID(asked holdfast.ReleaseID) (id holdfast.ReleaseID, named bool, err error) {
	names := slices.Sorted(maps.Keys(b.traits.names))
	switch {
	case len(names) == 0 && asked.IsZero():
		return b.Manifest.Digest().AutoID(), false, nil
	case len(names) == 0 || len(names) == 1 && !asked.IsZero() && names[0] == asked.String():
		return asked, false, nil
	}
	where := listed(names, func(name string) string { return b.traits.names[name] })
	if len(names) > 1 {
		return asked, false, fmt.Errorf("%w: the pages of this build ask for files of different releases (%s); build them again, all with one ID", holdfast.ErrInvalid, where)
	}
	id, err = holdfast.ParseReleaseID(names[0])
	switch {
	case err != nil || names[0] == "undefined": // left there by an unset variable
		return asked, false, fmt.Errorf("%w: the pages of this build ask for files of release %q, which is no ID (%s); build it again with the ID it is to have", holdfast.ErrInvalid, names[0], where)
	case asked.IsZero():
		return id, true, nil
	}
	return asked, false, fmt.Errorf("%w: the pages of this build ask for files of release %s (%s), and as release %s they would get none; publish it with --release %s, or build it again with the ID %s",
		holdfast.ErrInvalid, id, where, asked, id, asked)
}

// namedByItself says where the ID comes from.
func (b *Build) namedByItself(s *Subject) []Finding {
	if !s.Named {
		return nil
	}
	return []Finding{{
		Code: FoundID, Severity: Note,
		Message: fmt.Sprintf("the release gets the ID %s, which the build's own URLs name (%s)", s.ID, b.traits.names[s.ID.String()]),
	}}
}
