package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// A release becomes live only when the running nodes of the side have loaded it.

// errNotReady: running nodes of the side could not load the release in time.
var errNotReady = errors.New("could not load")

const (
	// prepareWait is how long a flip waits for nodes to load the release: longer than
	// the entry of a node that was killed stays.
	prepareWait = 30 * time.Second
	// saySoon is the delay before it reports the wait.
	saySoon = time.Second
)

// flipOptions are the flags that all commands that flip have.
type flipOptions struct {
	wait   time.Duration
	force  bool
	reason reasonFlags
}

func (o *flipOptions) flags(flags *pflag.FlagSet) {
	durationFlag(flags, &o.wait, "wait", prepareWait, "how long nodes may take to load the release; 0s: do not wait")
	flags.BoolVar(&o.force, "force", false, "activate at once, even if running nodes cannot load the release")
	o.reason.flags(flags)
	jsonFlag(flags)
}

// after is how long the nodes may take to pick up a change.
func (o flipOptions) after() time.Duration {
	if o.wait == prepareWait {
		return defaultWait
	}
	return o.wait
}

// prepare makes the running nodes of a side load a release before it becomes live there,
// and refuses the activation if they cannot in time. The caller closes the result after
// the change. A release that cannot become live is left to the change to refuse.
func (c *cli) prepare(ctx context.Context, b *backends, app holdfast.AppName, side holdfast.Side, id holdfast.ReleaseID, o flipOptions) (io.Closer, error) {
	nothing := io.NopCloser(nil)
	if o.force || o.wait == 0 {
		return nothing, nil
	}
	release, needed, err := b.toPrepare(ctx, app, side, id)
	if err != nil || !needed {
		return nothing, err
	}
	lacks := lacksRelease(app, side, id)
	nodes, err := b.awaitNodes(ctx, 0, lacks)
	if err != nil || len(nodes.Lagging) == 0 {
		return nothing, err
	}
	asked, err := b.registry.Prepare(ctx, app, side, release)
	if err != nil {
		return nothing, err
	}
	say := time.AfterFunc(saySoon, func() {
		c.ui.note("waiting for the nodes of side %s to load %s, at most %s", side, id, shortDuration(o.wait))
	})
	nodes, err = b.awaitNodes(ctx, o.wait, lacks)
	say.Stop()
	if err == nil && len(nodes.Lagging) > 0 {
		c.warnLagging(nodes.Lagging)
		err = hinted(fmt.Errorf("%d of %s %w %s within %s, so the live release of side %s did not change", len(nodes.Lagging), count(nodes.Total, "running node"), errNotReady, id, shortDuration(o.wait), side),
			"run it again once that is fixed, or with a longer --wait; --force activates at once, and these nodes answer 503 for it")
	}
	if err != nil {
		return nothing, errors.Join(err, asked.Close())
	}
	return asked, nil
}

// toPrepare returns the release that is to become live; needed is false if it is live
// there already, or cannot be.
func (b *backends) toPrepare(ctx context.Context, app holdfast.AppName, side holdfast.Side, id holdfast.ReleaseID) (r holdfast.Release, needed bool, err error) {
	state, err := b.registry.App(ctx, app)
	if errors.Is(err, holdfast.ErrNotFound) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	i := slices.IndexFunc(state.Releases, func(r registry.ReleaseInfo) bool { return r.ID == id })
	if i < 0 || state.Releases[i].State == holdfast.Gone || liveOn(state, side) == id {
		return r, false, nil
	}
	return state.Releases[i].Release, true, nil
}

// loadProblems says which releases nodes cannot load, and why.
func loadProblems(nodes []nodeStatus) (all []problem) {
	for _, n := range nodes {
		for app, releases := range n.Failing {
			for id, why := range releases {
				all = append(all, problem{
					fmt.Sprintf("node %s cannot load release %s of app %s: %s", n.Node, id, app, why), degraded,
					"look at that node's log and its connection to the store; holdfast verify checks the store",
				})
			}
		}
	}
	slices.SortFunc(all, func(a, b problem) int { return strings.Compare(a.Problem, b.Problem) })
	return all
}

// lacksRelease says why a node prevents a release from becoming live on a side, "" if it
// does not. Nodes of other sides, nodes that serve their own build, and nodes of earlier
// versions, which load nothing ahead, do not count.
func lacksRelease(app holdfast.AppName, side holdfast.Side, id holdfast.ReleaseID) func(registry.NodeInfo) string {
	return func(n registry.NodeInfo) string {
		if n.Side != side || !n.Prepares || !n.Own[app].IsZero() || slices.Contains(n.Ready[app], id) {
			return ""
		}
		if why := n.Failing[app][id]; why != "" {
			return "cannot load " + id.String() + ": " + why
		}
		return "has not loaded " + id.String() + " yet"
	}
}

func newNodeStatus(n registry.NodeInfo, before []registry.NodeInfo, snap *registry.Snapshot, now time.Time) nodeStatus {
	s := nodeStatus{nodeDoc: docOfNode(&n), Behind: n.Revision < snap.Revision, Lacks: map[holdfast.AppName][]holdfast.ReleaseID{}}
	s.Skew = skewOf(n, now)
	for _, b := range before {
		s.Before = append(s.Before, b.ID)
	}
	for _, app := range snap.Apps {
		for _, r := range app.Releases {
			if !r.Pack.IsZero() || r.State != holdfast.Live && r.State != holdfast.Draining {
				continue // of packs, nodes do not say it
			}
			s.wants++
			if !slices.Contains(n.Ready[app.Name], r.ID) {
				s.Lacks[app.Name] = append(s.Lacks[app.Name], r.ID)
			}
		}
	}
	return s
}
