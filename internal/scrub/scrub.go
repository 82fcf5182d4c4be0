// Package scrub reads everything that releases need and compares it with the digests. It
// can have lost or damaged bytes stored again if the store has the same bytes in another
// form.
//
// It remembers the names of the objects that releases refer to, about a hundred bytes
// each, and the problems. It finds the affected files and releases afterwards, by reading
// the inventories again.
package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
)

// readers is how many texts are read at a time.
const readers = 8

// Config is the environment of a scrub.
type Config struct {
	Registry *registry.Registry // of a leader, or of a command
	Store    *store.Store       // see Store.Slowed
	Encoder  publish.Encoder    // nil: rate-limited
	Logger   *slog.Logger       // discards if nil
	// Floor replaces prune.Floor if it is not zero; for tests.
	Floor time.Duration
	// Progress is called now and then, never concurrently; may be nil.
	Progress func(Progress)
}

// Progress counts the objects read.
type Progress struct {
	Objects, ObjectsDone int
	Bytes, BytesDone     int64
}

// Kind is the type of a problem.
type Kind string

// The kinds.
const (
	Missing    Kind = "missing"
	Corrupt    Kind = "corrupt"    // its bytes do not match its name
	Unreadable Kind = "unreadable" // the store fails to return it
	Dangling   Kind = "dangling"   // it belongs to nothing, or its parts do not match
)

// What there is in a store.
const (
	manifest  = "manifest"
	inventory = "inventory"
	object    = "object"
	list      = "condemned list"
)

// Problem is a defect of one stored item.
type Problem struct {
	Kind Kind   `json:"kind"`
	What string `json:"what"` // manifest, inventory, object or condemned list
	Name string `json:"name"`
	// Files are the paths that need it, Releases the affected releases.
	Files    []string      `json:"files,omitempty"`
	Releases []ReleaseName `json:"releases"`
	Detail   string        `json:"detail"`
	Repaired bool          `json:"repaired"`
}

// ReleaseName names a release of an app.
type ReleaseName struct {
	App     holdfast.AppName   `json:"app"`
	Release holdfast.ReleaseID `json:"release"`
}

// String returns the name as app@release.
func (n ReleaseName) String() string { return n.App.String() + "@" + n.Release.String() }

// Unencoded names a release with files that encoding would make smaller and that have
// fewer encoded forms than a publish makes today.
type Unencoded struct {
	ReleaseName
	Files   int    `json:"files"`
	Example string `json:"example"` // a path
}

// Report is the result of a scrub.
type Report struct {
	Releases  int         `json:"releases"`
	Objects   int         `json:"objects"`
	Bytes     int64       `json:"bytes"`
	Problems  []Problem   `json:"problems"`
	Unencoded []Unencoded `json:"unencoded"`
}

// Unread reports whether something could not be read, so that its state is unknown.
func (r *Report) Unread() bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Kind == Unreadable && !p.Repaired })
}

// Left returns how many problems were not repaired.
func (r *Report) Left() (n int) {
	for i := range r.Problems {
		if !r.Problems[i].Repaired {
			n++
		}
	}
	return n
}

// Check reads everything that releases need, and changes nothing. The error is that of
// the registry, or of listing the store; unreadable items are in the report.
func Check(ctx context.Context, c Config) (*Report, error) {
	s := newScrubber(c)
	err := s.all(ctx)
	return s.finished(), err
}

// scrubber is one run.
type scrubber struct {
	Config
	only map[holdfast.ObjectName]bool // if not nil, other objects are left alone
	down *holdfast.Takedowns

	mu       sync.Mutex
	wanted   map[holdfast.ObjectName]int64 // sizes of referenced objects
	damaged  map[holdfast.ObjectName]error
	problems map[string]*Problem // by what and name
	hit      map[ReleaseName]registry.ReleaseInfo
	unread   int // consecutive unreadable objects
	progress Progress
	report   Report
}

func newScrubber(c Config) *scrubber {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return &scrubber{
		Config: c, wanted: make(map[holdfast.ObjectName]int64), damaged: make(map[holdfast.ObjectName]error), problems: make(map[string]*Problem),
		hit:    make(map[ReleaseName]registry.ReleaseInfo),
		report: Report{Problems: []Problem{}, Unencoded: []Unencoded{}},
	}
}

// all checks everything there is.
func (s *scrubber) all(ctx context.Context) error {
	snap, err := s.Registry.Refresh(ctx, nil)
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	var releases []registry.ReleaseInfo
	for app := range snap.All() {
		releases = append(releases, app.Releases...)
	}
	s.down = snap.Takedowns
	if err := s.releases(ctx, releases); err != nil {
		return err
	}
	return s.orphans(ctx)
}

// releases checks what some releases need.
func (s *scrubber) releases(ctx context.Context, releases []registry.ReleaseInfo) error {
	if err := s.each(ctx, releases, s.release); err != nil {
		return err
	}
	if err := s.objects(ctx); err != nil || len(s.damaged) == 0 {
		return err
	}
	return s.each(ctx, releases, s.blame)
}

// each calls do for releases, several at a time.
func (s *scrubber) each(ctx context.Context, releases []registry.ReleaseInfo, do func(context.Context, *registry.ReleaseInfo)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i := range releases {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			do(ctx, &releases[i])
			return ctx.Err()
		})
	}
	return g.Wait()
}

// release checks the texts of a release and records its objects. A gone release still has
// its manifest, so that its names never get other bytes.
func (s *scrubber) release(ctx context.Context, r *registry.ReleaseInfo) {
	m, err := s.Store.Manifest(ctx, r.Manifest)
	if err != nil {
		s.blameText(r, manifest, r.Manifest, err)
	}
	if r.State == holdfast.Gone {
		return
	}
	inv, invErr := s.Store.Inventory(ctx, r.Inventory)
	if invErr != nil {
		s.blameText(r, inventory, r.Inventory, invErr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Releases++
	if err != nil || invErr != nil {
		return
	}
	if err := inv.Covers(m); err != nil {
		s.add(Problem{Kind: Dangling, What: inventory, Name: r.Inventory.String(), Detail: err.Error()}, r, nil)
	}
	for _, o := range inv.Objects() {
		if s.down.Kills(o.Name) {
			continue // missing on purpose
		}
		if s.only == nil || s.only[o.Name] {
			s.wanted[o.Name] = o.Size
		}
	}
	if u := unencoded(m, inv); u.Files > 0 {
		u.ReleaseName = nameOf(r)
		s.report.Unencoded = append(s.report.Unencoded, u)
	}
}

func nameOf(r *registry.ReleaseInfo) ReleaseName { return ReleaseName{r.App, r.ID} }

// objects reads all recorded objects, several at a time.
func (s *scrubber) objects(ctx context.Context) error {
	s.progress.Objects = len(s.wanted)
	for _, size := range s.wanted {
		s.progress.Bytes += size
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0) * 2)
	for name, size := range s.wanted {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := s.Store.VerifyObject(ctx, name, size)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return s.done(name, size, err)
		})
	}
	return g.Wait()
}

// giveUp is how many consecutive unreadable objects mean that the store is unavailable.
const giveUp = 100

// done records the result of reading an object. It fails when the store seems to be
// unreachable, because then nothing is known about its objects.
func (s *scrubber) done(name holdfast.ObjectName, size int64, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Objects++
	s.report.Bytes += size
	s.progress.ObjectsDone++
	s.progress.BytesDone += size
	s.Progress(s.progress)
	if err != nil {
		s.damaged[name] = err
	}
	if err == nil || kindOf(err) != Unreadable {
		s.unread = 0
		return nil
	}
	if s.unread++; s.unread < giveUp && !errors.Is(err, os.ErrDeadlineExceeded) { // a store that hangs does so for every object
		return nil
	}
	return fmt.Errorf("read objects: %w: %d in a row failed, the last: %w", holdfast.ErrUnavailable, s.unread, err)
}

// blame finds the files of a release that damaged objects affect.
func (s *scrubber) blame(ctx context.Context, r *registry.ReleaseInfo) {
	if r.State == holdfast.Gone {
		return
	}
	inv, err := s.Store.Inventory(ctx, r.Inventory)
	if err != nil {
		return // already reported
	}
	hit := make(map[holdfast.Digest][]holdfast.ObjectName)
	for _, o := range inv.Objects() {
		if s.damaged[o.Name] != nil {
			hit[o.Digest] = append(hit[o.Digest], o.Name)
		}
	}
	if len(hit) == 0 {
		return
	}
	files := make(map[holdfast.ObjectName][]string)
	name := func(list []holdfast.File, suffix string) {
		for i := range list {
			for _, object := range hit[list[i].Digest] {
				files[object] = append(files[object], list[i].Path+suffix)
			}
		}
	}
	if m, err := s.Store.Manifest(ctx, r.Manifest); err == nil {
		name(m.Files(), "")
	}
	if list, ok := inv.Pages(r.Pages); ok {
		name([]holdfast.File{{Digest: list.Digest, Path: "the list of pinned pages"}}, "")
		if pages, err := s.Store.Pages(ctx, list); err == nil {
			name(pages.Variants(), " (pinned page)")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, names := range hit {
		for _, name := range names {
			err := s.damaged[name]
			s.add(Problem{Kind: kindOf(err), What: object, Name: name.String(), Detail: err.Error()}, r, files[name])
		}
	}
}

func (s *scrubber) blameText(r *registry.ReleaseInfo, what string, d holdfast.Digest, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return // the run ends
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(Problem{Kind: kindOf(err), What: what, Name: d.String(), Detail: err.Error()}, r, nil)
}

// add records a problem, or another affected release of a known one; the release may be
// nil. The caller holds mu.
func (s *scrubber) add(p Problem, r *registry.ReleaseInfo, files []string) {
	known := s.problems[p.What+p.Name]
	if known == nil {
		known = &p
		known.Releases = []ReleaseName{}
		s.problems[p.What+p.Name] = known
	}
	known.Files = distinct(append(known.Files, files...), strings.Compare)
	if r == nil {
		return
	}
	known.Releases = distinct(append(known.Releases, nameOf(r)), compareNames)
	s.hit[nameOf(r)] = *r
}

func distinct[T comparable](list []T, compare func(a, b T) int) []T {
	slices.SortFunc(list, compare)
	return slices.Compact(list)
}

func compareNames(a, b ReleaseName) int { return strings.Compare(a.String(), b.String()) }

func kindOf(err error) Kind {
	switch {
	case errors.Is(err, holdfast.ErrNotFound):
		return Missing
	case errors.Is(err, holdfast.ErrCorrupt), errors.Is(err, holdfast.ErrInvalid):
		return Corrupt
	}
	return Unreadable
}

// finished returns the report, sorted.
func (s *scrubber) finished() *Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Problems = s.report.Problems[:0]
	for _, p := range s.problems {
		s.report.Problems = append(s.report.Problems, *p)
	}
	slices.SortFunc(s.report.Problems, func(a, b Problem) int { return strings.Compare(a.What+a.Name, b.What+b.Name) })
	slices.SortFunc(s.report.Unencoded, func(a, b Unencoded) int { return compareNames(a.ReleaseName, b.ReleaseName) })
	return &s.report
}
