package load

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// Build is a published directory, as it lies on disk.
type Build struct {
	Release string
	Page    [sha256.Size]byte // SHA-256 of index.html
	Files   []File            // those that every node must have under every URL
}

// File of a build.
type File struct {
	Path          string
	Digest        [sha256.Size]byte // SHA-256
	Fingerprinted bool              // its name carries a hash: its plain URL means these bytes
}

func (f File) escaped() string { return (&url.URL{Path: f.Path}).EscapedPath() }

// ReadBuild reads the build in dir, which must have an index.html. Source maps
// and dotfiles are left out, since they are not served by default, and so are
// files that only are another file's encoded form.
func ReadBuild(release, dir string) (*Build, error) {
	b := &Build{Release: release}
	var paths []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		switch {
		case err != nil || rel == ".":
			return err
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return filepath.SkipDir
		case d.IsDir() || strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{".map", ".br", ".gz", ".zst"}, filepath.Ext(p)):
			return nil
		}
		paths = append(paths, filepath.ToSlash(rel))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read build: %w", err)
	}
	return b, b.read(dir, paths)
}

func (b *Build) read(dir string, paths []string) error {
	logical := holdfast.LogicalNames(paths, nil)
	page := false
	for _, p := range paths {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(p)))
		if err != nil {
			return fmt.Errorf("read build: %w", err)
		}
		f := File{Path: p, Digest: sha256.Sum256(content)}
		_, f.Fingerprinted = logical[p]
		if p == "index.html" {
			b.Page, page = f.Digest, true
		}
		b.Files = append(b.Files, f)
	}
	if !page {
		return fmt.Errorf("read build: %s has no index.html: %w", dir, fs.ErrNotExist)
	}
	return nil
}
