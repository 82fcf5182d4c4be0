package node

import (
	"slices"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// How much of an entry the differences may take: entries are read by all nodes.
const (
	differMost  = 4    // releases compared with
	differNames = 10   // paths named of each
	differBytes = 1024 // that these may have together
)

// differences compares the node's build with those of other running nodes: builds of one
// version should be equal, and this finds where they are not.
func differences(t *live.Table, own map[holdfast.AppName]holdfast.ReleaseID) map[holdfast.AppName][]registry.Difference {
	var all map[holdfast.AppName][]registry.Difference
	for _, app := range t.Apps() {
		id, brings := own[app.Name]
		if !brings {
			continue
		}
		ours, ok := app.Release(id.String())
		if !ok || !ours.Loaded() {
			continue
		}
		var found []registry.Difference
		for theirs := range app.Releases {
			if theirs.Pack || theirs.SameBuild(ours) || theirs.State != holdfast.Live || !theirs.Loaded() || len(found) == differMost {
				continue
			}
			if d := difference(ours, theirs); d.Differ > 0 {
				found = append(found, d)
			}
		}
		if len(found) > 0 {
			if all == nil {
				all = make(map[holdfast.AppName][]registry.Difference)
			}
			all[app.Name] = found
		}
	}
	return all
}

func difference(ours, theirs *live.Release) registry.Difference {
	d := registry.Difference{Release: theirs.ID}
	var paths []string
	for e := range ours.Entries {
		d.Files++
		if other, ok := theirs.Lookup(e.Path); !ok || other.Digest != e.Digest {
			paths = append(paths, e.Path)
		}
	}
	for e := range theirs.Entries {
		if _, ok := ours.Lookup(e.Path); !ok {
			d.Files++
			paths = append(paths, e.Path)
		}
	}
	d.Differ = len(paths)
	slices.Sort(paths)
	size := 0
	for _, p := range paths[:min(len(paths), differNames)] {
		if size += len(p); size > differBytes {
			break
		}
		d.Paths = append(d.Paths, p)
	}
	return d
}
