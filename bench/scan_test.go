package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/publish"
)

// BenchmarkScan measures what a node spends on its own build at its start: 10,000
// files of 16 KiB that it reads, or of which it knows that nothing has changed.
func BenchmarkScan(b *testing.B) {
	dir, random := b.TempDir(), rand.NewChaCha8([32]byte{1})
	text := make([]byte, 16<<10)
	for i := range 10_000 {
		_, _ = random.Read(text)
		p := filepath.Join(dir, fmt.Sprintf("d%02d/f%05d.%s", i%100, i, []string{"js", "css", "png", "svg"}[i%4]))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(p, text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	scan := func(o publish.ScanOptions) *publish.Build {
		build, err := publish.Scan(b.Context(), dir, o)
		if err != nil {
			b.Fatal(err)
		}
		return build
	}
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			scan(publish.ScanOptions{})
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		memo := scan(publish.ScanOptions{}).Memo
		for ; memo == nil; memo = scan(publish.ScanOptions{}).Memo { // the files are too new to prove anything
			time.Sleep(time.Second)
		}
		for b.Loop() {
			if !scan(publish.ScanOptions{Memo: memo}).Unread {
				b.Fatal("the build was read again")
			}
		}
	})
}
