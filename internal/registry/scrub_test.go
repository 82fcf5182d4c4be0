package registry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScrubbed(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r := openRegistry(t, open(), newClock())
		if got := must(r.LastScrub(t.Context())); !got.Done.IsZero() {
			t.Errorf("%+v", got)
		}
		for n := range 2 {
			want := Scrubbed{Done: time.Unix(int64(n+1), 0).UTC(), Objects: n, Bytes: 10, Problems: 2}
			if err := r.RecordScrub(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, must(r.LastScrub(t.Context()))); diff != "" {
				t.Error(diff)
			}
		}
	})
}
