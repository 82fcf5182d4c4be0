package asset

import (
	"time"

	"github.com/holdfast-web/holdfast/internal/registry"
)

// pruneEvery is how often a leading program retires releases that policy does not keep.
const pruneEvery = time.Hour

func hookless(snap *registry.Snapshot) bool {
	for _, app := range snap.Apps {
		if len(app.Settings.Hooks) > 0 {
			return false
		}
	}
	return true
}
