package lifecycle

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestBefore(t *testing.T) {
	pinned := with(draining("r4", ago(3*day)), func(r *registry.ReleaseInfo) { r.Pinned = true })
	a := app(10, published("r6", ago(hour)), live("r5"), pinned, published("r3", ago(2*day)), draining("r2", ago(4*day)), retired("r1", ago(5*day)))
	for _, test := range []struct {
		than   string
		retire []string
		kept   map[string]Cause
	}{
		{"r6", []string{"r3", "r2"}, map[string]Cause{"r5": Live, "r4": Pinned}}, // grace, keep and traffic do not count
		{"r3", []string{"r2"}, map[string]Cause{}},
		{"r1", nil, map[string]Cause{}},
	} {
		older, err := Before(a, holdtest.ID(test.than))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range RetireOf(older).Retire {
			got = append(got, r.String())
		}
		kept := make(map[string]Cause)
		for _, o := range older {
			if o.Action == Keep {
				kept[o.Release.String()] = o.Reasons[0].Cause
			}
		}
		if diff := cmp.Diff(test.retire, got) + cmp.Diff(test.kept, kept); diff != "" {
			t.Errorf("before %s:\n%s", test.than, diff)
		}
	}
	if _, err := Before(a, holdtest.ID("r9")); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("before a release that is not there: %v", err)
	}
}
