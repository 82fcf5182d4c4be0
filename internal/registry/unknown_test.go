package registry

import (
	"errors"
	"slices"
	"sync"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
)

// TestTypos: an unknown name among existing ones is created only on request.
func TestTypos(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, d := t.Context(), open()
		r := openRegistry(t, d, newClock())
		unknown := func(err error, app, on string, known ...string) {
			t.Helper()
			var u *UnknownError
			if !errors.As(err, &u) || !errors.Is(err, holdfast.ErrNotFound) || u.App.String() != app || u.Side.String() != on || !slices.Equal(u.Known, known) {
				t.Fatalf("error %v", err)
			}
		}
		begin := func(app string, create bool) error {
			lease, err := r.BeginPublish(ctx, appName(app), digest("m"), create)
			if err == nil {
				err = lease.Close()
			}
			return err
		}
		set := func(app string, create bool) error {
			_, err := r.SetApp(ctx, appName(app), create, func(*holdfast.Settings) error { return nil }, nil)
			return err
		}
		// The first app and its first side need no create flag.
		if err := begin("shop", false); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, r, "shop", "one")
		activate := func(on string, create bool) error {
			_, _, err := r.Activate(ctx, appName("shop"), release("one"), ActivateOptions{Side: side(on), Create: create})
			return err
		}
		if err := activate("a", false); err != nil {
			t.Fatal(err)
		}
		unknown(begin("shpo", false), "shpo", "", "shop")
		unknown(set("shpo", false), "shpo", "", "shop")
		unknown(r.TakeBuilds(ctx, appName("shpo"), false), "shpo", "", "shop")
		unknown(activate("main", false), "shop", "main", "a")
		if apps := must(r.Apps(ctx)); len(apps) != 1 || len(apps[0].Sides) != 1 {
			t.Fatalf("apps %+v", apps)
		}
		// Existing names need no create flag, including a side made by a foreign client.
		setForeign(t, d, "shop", "b", "null")
		if err := errors.Join(begin("shop", false), set("shop", false), activate("a", false), activate("b", false)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(activate("main", true), begin("blog", true), set("wiki", true), r.TakeBuilds(ctx, appName("local"), true)); err != nil {
			t.Fatal(err)
		}
		unknown(set("shpo", false), "shpo", "", "blog", "local", "shop", "wiki")
	})
}

// TestFirstTogether: if several processes create the first app concurrently, under
// different names, one wins. The same holds for the first side.
func TestFirstTogether(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		ctx, names := t.Context(), []string{"a", "b", "c", "d"}
		together := func(do func(*Registry, string) error) {
			t.Helper()
			errs := make([]error, len(names))
			var wg sync.WaitGroup
			for i, name := range names {
				r := openRegistry(t, open(), newClock())
				wg.Go(func() { errs[i] = do(r, name) })
			}
			wg.Wait()
			refused := 0
			for _, err := range errs {
				if err != nil {
					wantError(t, err, holdfast.ErrNotFound)
					refused++
				}
			}
			if refused != len(names)-1 {
				t.Errorf("%d of %d were refused: %v", refused, len(names), errs)
			}
		}
		together(func(r *Registry, name string) error {
			_, err := r.SetApp(ctx, appName(name), false, func(*holdfast.Settings) error { return nil }, nil)
			return err
		})
		r := openRegistry(t, open(), newClock())
		mustPublish(t, r, "shop", "one")
		together(func(r *Registry, name string) error {
			_, _, err := r.Activate(ctx, appName("shop"), release("one"), ActivateOptions{Side: side(name)})
			return err
		})
	})
}
