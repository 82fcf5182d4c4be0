package live

import (
	"sync"

	"github.com/holdfast-web/holdfast/internal/registry"
)

// troubles are the reasons why manifests could not be loaded, for goroutines other than
// the loader's.
type troubles struct {
	mu      sync.Mutex
	why     map[buildKey]error
	changed func() // called after a change, without the lock
}

// set records why something could not be loaded; nil if it was, or is not wanted any
// more.
func (t *troubles) set(key buildKey, err error) {
	t.mu.Lock()
	before := t.why[key]
	switch {
	case err == nil:
		delete(t.why, key)
	case t.why == nil:
		t.why = map[buildKey]error{key: err}
	default:
		t.why[key] = err
	}
	t.mu.Unlock()
	if t.changed != nil && textOf(before) != textOf(err) {
		t.changed()
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Failure returns why the last attempt at loading a release failed; nil if it did not.
func (k *Keeper) Failure(info *registry.ReleaseInfo) error {
	t := k.loader.troubles
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.why[keyOf(info)]
}
