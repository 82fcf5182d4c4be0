package registry

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// TestPreparations: nodes see a preparation as long as the process that requested it
// exists.
func TestPreparations(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r, s := openRegistry(t, open(), newClock()), &spy{Driver: open()}
		node := openRegistry(t, s, newClock())
		app, on := appName("shop"), side("main")
		mustPublish(t, r, "shop", "v1")
		rel := must(r.Release(t.Context(), app, release("v1"))).Release
		told := make(chan []Preparation, 10)
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		s.reset()
		go func() { ended <- node.FollowPreparations(ctx, func(all []Preparation) { told <- all }) }()
		if all := <-told; len(all) > 0 {
			t.Errorf("prepared at first: %v", all)
		}
		if n := len(slices.Concat(s.gets...)); n > 0 {
			t.Errorf("%d keys read while nothing is prepared", n)
		}
		asked, err := r.Prepare(t.Context(), app, on, rel)
		if err != nil {
			t.Fatal(err)
		}
		for all := range told {
			if len(all) == 0 {
				continue
			}
			if p := all[0]; p.App != app || p.Side != on || p.Release != rel.ID || p.Manifest != rel.Manifest || p.Inventory != rel.Inventory {
				t.Errorf("%+v", p)
			}
			break
		}
		if err := asked.Close(); err != nil {
			t.Fatal(err)
		}
		for all := range told {
			if len(all) == 0 {
				break
			}
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}
