package delta

import (
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// TestForbid: a delta from or to taken-down bytes is dropped, and one in progress is not
// kept.
func TestForbid(t *testing.T) {
	for _, end := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			s := &shelf{contents: make(map[holdfast.ObjectName]string)}
			m, u := running(t, s, Options{}), upgrade(s)
			find := func() bool {
				m.Find(holdfast.DeltaBrotli, u)
				time.Sleep(time.Minute)
				delta, _, known := m.Find(holdfast.DeltaBrotli, u)
				return known && len(delta) > 0
			}
			if !find() {
				t.Fatal("no delta at first")
			}
			down, err := holdfast.NewTakedowns(1, []holdfast.Takedown{{Digest: []holdfast.Digest{u.Dictionary.Digest, u.Target.Digest}[end]}})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Forbid(t.Context(), down); err != nil {
				t.Fatal(err)
			}
			if _, _, known := m.Find(holdfast.DeltaBrotli, u); known {
				t.Error("a delta is still there")
			}
			if time.Sleep(time.Minute); find() {
				t.Error("a delta is kept again")
			}
		})
	}
}
