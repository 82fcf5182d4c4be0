package lifecycle

import (
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Before assesses the servable releases that were published before the release id, newest
// first, for an operator who wants to retire them: neither grace nor traffic keeps a
// release then, but live and pinned ones stay. ErrNotFound if the app has no release id.
func Before(app *registry.AppState, id holdfast.ReleaseID) ([]Assessment, error) {
	at := -1
	for i := range app.Releases {
		if app.Releases[i].ID == id {
			at = i
		}
	}
	if at < 0 {
		return nil, fmt.Errorf("release %s of app %s: %w", id, app.Name, holdfast.ErrNotFound)
	}
	a := assessor{app: app}
	var all []Assessment
	for i := at + 1; i < len(app.Releases); i++ { // sorted by publication
		if r := &app.Releases[i]; r.State.Servable() {
			all = append(all, a.byHand(r))
		}
	}
	return all, nil
}

// byHand returns only the reasons that count when a person retires many releases.
func (a *assessor) byHand(r *registry.ReleaseInfo) Assessment {
	result := Assessment{Release: r.ID, State: r.State, Action: Retire, Reasons: a.fixed(r)}
	if len(result.Reasons) > 0 {
		result.Action = Keep
	}
	return result
}

// RetireOf returns the transition that the assessments permit.
func RetireOf(all []Assessment) (t registry.Transitions) {
	for i := range all {
		if all[i].Action == Retire {
			t.Retire = append(t.Retire, all[i].Release)
		}
	}
	return t
}
