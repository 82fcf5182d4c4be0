package sqlitekv_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-web/holdfast/internal/kv"
)

func BenchmarkGet(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "registry.db"))
	if _, err := d.Commit(b.Context(), kv.Create("d/k", make([]byte, 1000))); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := d.Get(b.Context(), "d/k"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "registry.db"))
	if _, err := d.Commit(b.Context(), kv.Create("d/k", nil)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		entries, err := d.Get(b.Context(), "d/k")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Commit(b.Context(), kv.Set("d/k", make([]byte, 1000), entries[0].Token)); err != nil {
			b.Fatal(err)
		}
	}
}
