package publish

import (
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Severity is the effect of a finding on the publish.
type Severity string

// The severities.
const (
	Note    Severity = "note"    // worth knowing
	Warning Severity = "warning" // probably unintended
	Fatal   Severity = "error"   // nothing is published
)

// Code names a kind of finding. Programs compare it, so it never changes.
type Code string

// The codes.
const (
	FoundMissing   Code = "missing-reference" // a file refers to one that the build lacks
	FoundBase      Code = "base"              // the build expects another mount path
	FoundRouter    Code = "spa"               // it routes in the browser, and spa is off
	FoundID        Code = "release-id"        // the release's ID comes from the build's URLs
	FoundSame      Code = "same-files"        // another release has the very same files
	FoundShrunk    Code = "shrunk"            // it is much smaller than the live release
	FoundNoIndex   Code = "no-index"          // it has no index.html where one is expected
	FoundNoContent Code = "no-content"        // a browser can do nothing with its files
	FoundClash     Code = "clash"             // names with a hash had other bytes before
	FoundCase      Code = "case"              // names differ only in the case of letters
	FoundAbsolute  Code = "absolute-path"     // scripts name files in a way that cannot be pinned
)

// Finding is something about a build that its publisher should know.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"` // the recommended fix
	// Command is the arguments for this program, if one command fixes it.
	Command string `json:"command,omitempty"`
}

// Subject is the context for judging a build.
type Subject struct {
	App      holdfast.AppName
	Settings holdfast.Settings
	ID       holdfast.ReleaseID // of the release it is to be
	// Named: ID was not chosen; the build's own URLs contain it.
	Named    bool
	Releases []registry.ReleaseInfo // of the app, newest first
	// Live is the live release that the build would replace, and LiveFiles its manifest;
	// nil if there is none, or if it cannot be read.
	Live      *registry.ReleaseInfo
	LiveFiles *holdfast.Manifest
	NewApp    bool // there is no such app yet
	Activate  bool // the release is to be live at once
	Strict    bool // makes unusable pages Fatal
	Same      bool // the files may be those of another release
}

// Inspect reports problems of the build. It is pure.
func (b *Build) Inspect(s *Subject) []Finding {
	var all []Finding
	all = append(all, b.sameFiles(s)...)
	all = append(all, b.namedByItself(s)...)
	all = append(all, b.wrongBase(s)...)
	all = append(all, b.noIndex(s)...)
	all = append(all, b.noContent()...)
	all = append(all, b.shrunk(s)...)
	all = append(all, b.unroutedPages(s)...)
	all = append(all, b.unpinned(s)...)
	all = append(all, b.alike()...)
	return append(all, b.missingFindings()...)
}

// alike finds names that URLs tell apart, and some disks do not.
func (b *Build) alike() []Finding {
	if len(b.traits.alike) == 0 {
		return nil
	}
	return []Finding{{
		Code: FoundCase, Severity: Warning,
		Message: "names differ only in the case of letters: " + listed(b.traits.alike, func(p [2]string) string { return p[0] + " and " + p[1] }),
		Hint:    "they are different files here, but a build on a disk that ignores case (macOS, Windows) has only one of the two",
	}}
}

// missingFindings are the references that lead nowhere, the certain ones first.
func (b *Build) missingFindings() []Finding {
	var certain, maybe []Finding
	for _, m := range b.Missing {
		if m.Maybe {
			maybe = append(maybe, Finding{
				Code: FoundMissing, Severity: Warning,
				Message: fmt.Sprintf("%s may ask for %q, but the build has no %s", m.From, m.Ref, m.Resolved),
				Hint:    "the release answers 404 if it does; --strict lets this pass",
			})
			continue
		}
		certain = append(certain, Finding{
			Code: FoundMissing, Severity: Warning,
			Message: fmt.Sprintf("%s refers to %q, but the build has no %s", m.From, m.Ref, m.Resolved),
			Hint:    "the release answers 404 for these; publish --strict refuses such builds",
		})
	}
	return append(certain, maybe...)
}

// strictly is the severity of unusable pages.
func (s *Subject) strictly() Severity {
	if s.Strict {
		return Fatal
	}
	return Warning
}
