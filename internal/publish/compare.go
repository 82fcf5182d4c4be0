package publish

import (
	"fmt"
	"path"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// sameFiles finds the release that has the same files under another ID: a failed build
// leaves the output of the last one. The live one counts most, then the newest.
func (b *Build) sameFiles(s *Subject) []Finding {
	var same *registry.ReleaseInfo
	for i := range s.Releases {
		r := &s.Releases[i]
		if r.ID == s.ID || r.Manifest != b.Manifest.Digest() {
			if r.ID == s.ID && r.Manifest == b.Manifest.Digest() && r.State != holdfast.Gone {
				return nil // nothing new is published
			}
			continue
		}
		if same == nil || r.State == holdfast.Live && same.State != holdfast.Live {
			same = r
		}
	}
	if same == nil {
		return nil
	}
	f := Finding{
		Code: FoundSame, Severity: Warning,
		Message: fmt.Sprintf("release %s has the same files as %s, which is %s: did the build run?", s.ID, same.ID, same.State),
		Hint:    "if it did not, free the ID and build again",
		Command: fmt.Sprintf("unpublish %s%s", s.ID, appFlag(s.App)),
	}
	if s.Activate {
		f.Hint, f.Command = "", ""
	}
	if s.Activate && !s.Same && same.State != holdfast.Gone {
		f.Severity = Fatal
		f.Hint = "nothing was written; if these files are meant, add --same"
		if same.State != holdfast.Live {
			f.Hint = fmt.Sprintf("nothing was written; to go back to these files: holdfast activate %s; to publish them once more, add --same", same.ID)
		}
	}
	return []Finding{f}
}

// appFlag names the app on a command line, where that is necessary.
func appFlag(app holdfast.AppName) string {
	if app == holdfast.DefaultApp() {
		return ""
	}
	return " --app " + app.String()
}

// Differences below these are not compared.
const (
	leastFiles = 10
	leastBytes = 64 << 10
	// shrunkTo is the part, one in so many, below which a build is conspicuous.
	shrunkTo = 5
)

// shrunk finds a build that has lost most of the live release's files.
func (b *Build) shrunk(s *Subject) []Finding {
	if s.Live == nil {
		return nil
	}
	files, size := len(b.Manifest.Files()), b.Manifest.Size()
	fewer := s.Live.Files >= leastFiles && files*shrunkTo < s.Live.Files
	smaller := s.Live.Bytes >= leastBytes && size*shrunkTo < s.Live.Bytes
	if !fewer && !smaller {
		return nil
	}
	return []Finding{{
		Code: FoundShrunk, Severity: Warning,
		Message: fmt.Sprintf("this build is less than a fifth of the live release %s: %d files with %d bytes, instead of %d with %d",
			s.Live.ID, files, size, s.Live.Files, s.Live.Bytes),
		Hint: "check that the build is complete and the right directory",
	}}
}

// noIndex finds a build without a start page: the live release has one, or the page is
// one directory further down.
func (b *Build) noIndex(s *Subject) []Finding {
	if b.hasFile("index.html") {
		return nil
	}
	if s.LiveFiles != nil {
		if _, had := s.LiveFiles.Lookup("index.html"); had {
			return []Finding{{
				Code: FoundNoIndex, Severity: Warning,
				Message: fmt.Sprintf("this build has no index.html, and the live release %s has one", s.Live.ID),
				Hint:    "check that the build is complete and the right directory",
			}}
		}
	}
	dir, ok := b.realTop()
	if !ok {
		return nil
	}
	return []Finding{{
		Code: FoundNoIndex, Severity: Warning,
		Message: fmt.Sprintf("this build has no page at its top: the site begins at %s/", dir),
		Hint:    fmt.Sprintf("publish the directory %s instead", path.Join(b.place.String(), dir)),
	}}
}

// topmostPage is the path of the least deeply nested page.
func (b *Build) topmostPage() string {
	paths := make([]string, len(b.traits.pages))
	for i := range b.traits.pages {
		paths[i] = b.traits.pages[i].path
	}
	return slices.MinFunc(paths, depth)
}

// realTop returns the one directory that holds an index.html and nearly all files,
// if there is no page above it.
func (b *Build) realTop() (dir string, ok bool) {
	if len(b.traits.pages) == 0 {
		return "", false
	}
	first := b.topmostPage()
	dir = path.Dir(first)
	if dir == "." || path.Base(first) != "index.html" && !b.hasFile(dir+"/index.html") {
		return "", false
	}
	inside := 0
	for i := range b.Manifest.Files() {
		if strings.HasPrefix(b.Manifest.Files()[i].Path, dir+"/") {
			inside++
		}
	}
	return dir, inside*10 >= len(b.Manifest.Files())*9
}

// noContent finds a build that no browser can make anything of.
func (b *Build) noContent() []Finding {
	for i := range b.Manifest.Files() {
		base, _, _ := strings.Cut(b.Manifest.Files()[i].MediaType, ";")
		if base != "text/plain" && base != "text/markdown" && base != "application/octet-stream" {
			return nil
		}
	}
	return []Finding{{
		Code: FoundNoContent, Severity: Warning,
		Message: "this build has no page, script, style, image or data, only text and unknown files",
		Hint:    "check that the build ran and that this is the directory it writes to",
	}}
}
