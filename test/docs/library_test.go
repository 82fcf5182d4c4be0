package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPrograms: every Go program in the docs is one that compiles, and that vet
// has nothing to say about.
func TestPrograms(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "go" || len(b.lines) == 0 || b.lines[0] != "package main" {
				continue
			}
			found++
			dir, err := os.MkdirTemp(".", "_program-") // in the module, and no part of it
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			if err := os.CopyFS(filepath.Join(dir, "dist"), os.DirFS(root+"/cmd/holdfast/demosite/release-1")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(strings.Join(b.lines, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("go", "vet", "./"+dir).CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", p.name, b.line, err, out)
			}
		}
	}
	if found < 2 {
		t.Errorf("%d programs found", found)
	}
}
