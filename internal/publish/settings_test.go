package publish

import (
	"errors"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// TestSettingsChangedMeanwhile: a build that was read under other settings than
// the app has now is not added.
func TestSettingsChangedMeanwhile(t *testing.T) {
	app := holdfast.DefaultApp()
	p := &publication{Options: Options{App: app, Settings: holdfast.DefaultSettings(app)}}
	for setting, fails := range map[string]bool{"": false, "spa=on": false, "mount=/x": true, "immutable=js/*": true, "sourcemaps=public": true} {
		now := holdfast.DefaultSettings(app)
		if key, value, ok := strings.Cut(setting, "="); ok {
			if err := now.Set(key, value); err != nil {
				t.Fatal(err)
			}
		}
		err := p.sameSettings([]*registry.AppState{{Name: app, Settings: now}})
		if errors.Is(err, holdfast.ErrConflict) != fails {
			t.Errorf("%q: %v", setting, err)
		}
	}
}
