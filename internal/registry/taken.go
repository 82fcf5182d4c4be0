package registry

import (
	"context"
	"slices"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// taken is an immutable entry that lists files of an app that were taken down together.
// It triggers hooks, and hints at the change.
type taken struct {
	Seq      int64                `json:"seq"`
	Takedown int64                `json:"takedown"` // number of the change of the takedowns
	Files    []string             `json:"files"`
	Releases []holdfast.ReleaseID `json:"releases"`
	Stamp    time.Time            `json:"stamp"`
	Reason
}

func (t taken) number() int64    { return t.Seq }
func (t taken) stamp() time.Time { return t.Stamp }

// takenMost limits the files and releases that an entry names.
const takenMost = 50

// TellTakedown records in an app that files of it were taken down, as infos say, by
// change number seq of the takedowns. Repeated calls have no effect. Nodes learn of the
// takedown from this at once, and hooks of the app run. ErrNotFound.
func (r *Registry) TellTakedown(ctx context.Context, app holdfast.AppName, seq int64, infos []TakedownInfo) error {
	entry := taken{Takedown: seq, Files: []string{}, Releases: []holdfast.ReleaseID{}}
	for i := range infos {
		entry.Reason = infos[i].Reason
		for _, f := range infos[i].bounded().Found {
			if f.App == app {
				entry.Files = append(entry.Files, f.Paths...)
				entry.Releases = append(entry.Releases, f.Release)
			}
		}
	}
	slices.Sort(entry.Files)
	slices.SortFunc(entry.Releases, compareIDs)
	entry.Files, entry.Releases = first(slices.Compact(entry.Files)), first(slices.Compact(entry.Releases))
	return r.update(ctx, "note takedown in app "+app.String(), app, orRemoved, func(e *edit) error {
		if e.head.TakenUp >= seq {
			return nil
		}
		e.head.Taken++
		e.head.TakenUp = seq
		entry.Seq, entry.Stamp = e.head.Taken, e.stamp(time.Time{})
		e.createJSON(takenKey(app, entry.Seq), entry)
		return nil
	})
}

func first[T any](all []T) []T { return all[:min(len(all), takenMost)] }
