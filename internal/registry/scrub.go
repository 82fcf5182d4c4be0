package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// Scrubbed is the record of the last complete read of the store.
type Scrubbed struct {
	Done     time.Time `json:"done"` // by the clock of the process that read it
	Objects  int       `json:"objects"`
	Bytes    int64     `json:"bytes"`
	Problems int       `json:"problems"` // not repaired
}

// LastScrub returns the last record; zero if there is none.
func (r *Registry) LastScrub(ctx context.Context) (s Scrubbed, err error) {
	got, err := r.db.get(ctx, scrubKey)
	if e, ok := got[scrubKey]; ok && err == nil {
		err = decode(e, &s)
	}
	return s, wrap("read when the store was read last", err)
}

// RecordScrub records a complete read of the store.
func (r *Registry) RecordScrub(ctx context.Context, s Scrubbed) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("record scrub: encode: %w", err)
	}
	return r.retry(ctx, "record scrub", func(bool) error {
		got, err := r.db.get(ctx, scrubKey)
		if err != nil {
			return err
		}
		op := kv.Create(scrubKey, text)
		if e, ok := got[scrubKey]; ok {
			op = kv.Set(scrubKey, text, e.Token)
		}
		return r.db.commit(ctx, op)
	})
}
