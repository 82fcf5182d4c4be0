// Package hook runs the hooks of apps: commands and webhooks that a node knows under the
// names that the settings of an app list.
//
// The elected node runs them, whichever process made the change: it reads the events from
// the registry (see registry.Event) and stores there how far delivery has come. So an
// event is delivered at least once, and again only if a leader ended between a run and
// that write: it checks right before each run whether it still leads. Each hook of each
// app handles its events in order; a failed event is retried, at increasing intervals,
// until it is abandoned. Hooks do not wait for each other.
//
// The registry names hooks and never defines them: write access to it must not suffice to
// run a program on a node, or to make it call a URL.
package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Action is the definition of a hook.
type Action interface {
	// Run does it once, until ctx ends. Its error may be a *Failure.
	Run(ctx context.Context, d *Delivery) error
}

// Failure is why an Action failed, with its output. Only the reason is stored in the
// registry: the output of commands may be secret.
type Failure struct {
	Reason string
	Output string // bounded; may be empty
}

func (f *Failure) Error() string { return f.Reason }

// Delivery is one try of one event.
type Delivery struct {
	registry.Event
	CacheTags []string `json:"cacheTags"` // of content that caches may hold and should drop

	Hook holdfast.HookName `json:"-"`
	Try  int               `json:"-"` // from 1
	Body []byte            `json:"-"` // the JSON form
}

// Options of a Runner; zero values mean the defaults named.
type Options struct {
	// Find returns the definition of a name on this node. An error does not count as a
	// failed try: an operator has to fix it. Required.
	Find func(name holdfast.HookName) (Action, error)
	// Tag names a release's content in caches; required.
	Tag    func(app holdfast.AppName, id holdfast.ReleaseID) string
	Logger *slog.Logger     // discards if nil
	Clock  func() time.Time // time.Now if nil

	Timeout time.Duration // of one try (30 s)
	Tries   int           // of one event (10)
	Most    int           // concurrent hooks (16)
}

const (
	// firstPause is the approximate delay before the first retry. It doubles with each
	// try, up to longestPause.
	firstPause   = time.Second
	longestPause = 5 * time.Minute
	// undefinedPause is how long a hook without a definition on this node waits.
	undefinedPause = 15 * time.Second
	// registryPause is how long a hook waits after the registry failed.
	registryPause = 2 * time.Second
	// saveTimeout bounds storing progress, even after the leadership ended.
	saveTimeout = 10 * time.Second
)

// oldest is the maximum age of an event to deliver. A hook that was fixed after that does
// not replay its whole past.
const oldest = 7 * 24 * time.Hour

// Runner runs hooks for one leader at a time.
type Runner struct {
	Options
	slots chan struct{} // one for each hook that runs
}

// New returns a Runner.
func New(o Options) *Runner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Tries == 0 {
		o.Tries = 10
	}
	if o.Most == 0 {
		o.Most = 16
	}
	return &Runner{Options: o, slots: make(chan struct{}, o.Most)}
}

// key is a hook of an app.
type key struct {
	app  holdfast.AppName
	name holdfast.HookName
}

// Run runs the hooks of all apps in snapshots, in the name of l, until they end, and
// waits for running hooks. ctx ends with them, or before.
func (r *Runner) Run(ctx context.Context, l *registry.Leadership, snapshots iter.Seq[*registry.Snapshot]) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	workers := make(map[key]*worker)
	var before []*registry.AppState
	for snap := range snapshots {
		apps := slices.Collect(snap.All()) // events of a removed app are also delivered
		for _, app := range apps {
			if slices.Contains(before, app) {
				continue // nothing happened
			}
			for _, name := range app.Settings.Hooks {
				k := key{app.Name, name}
				w := workers[k]
				if w == nil {
					w = &worker{Runner: r, key: k, leader: l, news: wait.NewHint()}
					workers[k] = w
					running.Go(func() { w.run(ctx) })
				}
				w.news.Give()
			}
		}
		before = apps
	}
	return nil
}

// delivery builds the first delivery of an event.
func (r *Runner) delivery(e registry.Event, name holdfast.HookName, try int) (*Delivery, error) {
	for _, text := range []*string{&e.By, &e.Message, &e.Commit, &e.Branch, &e.Run} {
		*text = printable(*text)
	}
	d := &Delivery{Event: e, CacheTags: r.tags(&e), Hook: name, Try: try}
	body, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	d.Body = body
	return d, nil
}

// printable drops characters that must not be in environments and logs: the text is
// foreign.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return -1
		}
		return c
	}, text)
}

// tags are those of stale content: pages of the release that was live before, or
// everything of a release that is no longer served. If it must not be served any more, it
// may also have been sent under plain URLs, which carry only the tag of the app.
func (r *Runner) tags(e *registry.Event) []string {
	switch {
	case e.Kind == registry.EventActivate && e.Previous.IsZero():
		return []string{}
	case e.Kind == registry.EventTakedown: // everything of the app carries its tag
		return []string{e.App.String()}
	case e.Kind == registry.EventActivate:
		return []string{r.Tag(e.App, e.Previous)}
	case e.Now:
		return []string{r.Tag(e.App, e.Release), e.App.String()}
	}
	return []string{r.Tag(e.App, e.Release)}
}
