package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// defaultWait is how long an activation waits for the nodes to update.
const defaultWait = 5 * time.Second

const (
	// flipPause is the minimum time between two reads of the nodes' reports; a read that
	// took longer is followed by an equal pause.
	flipPause = 25 * time.Millisecond
	// flipPoll is how often it reads without a hint.
	flipPoll = time.Second
)

// flip is an activation and its progress. The help of activate documents its JSON form.
type flip struct {
	App       holdfast.AppName   `json:"app"`
	Side      holdfast.Side      `json:"side"`
	Release   holdfast.ReleaseID `json:"release"`
	Previous  holdfast.ReleaseID `json:"previous,omitzero"`
	Changed   bool               `json:"changed"`
	Seq       int64              `json:"seq"`
	Activated time.Time          `json:"activated"`
	// Left are the releases left by a rollback, and by rollbacks just before it, the last
	// one first.
	Left  []holdfast.ReleaseID `json:"left,omitempty"`
	Nodes nodesReport          `json:"nodes"`
}

// nodesReport says which of the registered nodes know a flip.
type nodesReport struct {
	Total   int       `json:"total"`
	Ready   int       `json:"ready"`
	Lagging []laggard `json:"lagging,omitempty"`

	sides map[holdfast.Side]int // how many nodes serve each side
}

type laggard struct {
	Node    string `json:"node"`
	Address string `json:"address"`
	Why     string `json:"why"`
}

func waitFlag(flags *pflag.FlagSet, into *time.Duration) {
	durationFlag(flags, into, "wait", defaultWait, "how long to wait for the nodes to update")
}

// newFlip describes the activation that entry records.
func newFlip(app holdfast.AppName, entry registry.HistoryEntry, changed bool) *flip {
	return &flip{
		App: app, Side: entry.Side, Release: entry.Release, Previous: entry.Previous,
		Changed: changed, Seq: entry.Seq, Activated: entry.Stamp,
	}
}

// await waits, at most wait, until all running nodes know the flip and have its
// release ready, and notes which do not.
func (c *cli) awaitFlip(ctx context.Context, b *backends, f *flip, wait time.Duration) {
	var err error
	others := make(map[string]bool) // nodes that serve their own build
	f.Nodes, err = b.await(ctx, wait, func(n registry.NodeInfo) string {
		if own, brings := n.Own[f.App]; brings && own != f.Release {
			others[n.Name] = true
		}
		if slices.Contains(n.Ready[f.App], f.Release) {
			return ""
		}
		if why := n.Failing[f.App][f.Release]; why != "" {
			return "cannot load it: " + why
		}
		return "is still loading the release"
	})
	if err != nil {
		c.ui.warn("holdfast status shows the nodes", "release %s is live on side %s, but node status could not be read: %v", f.Release, f.Side, err)
	}
	if len(others) > 0 {
		names := slices.Sorted(maps.Keys(others))
		c.ui.warn("restart such a node with another build to change its pages; a release on a side stays live until another one is activated there",
			"%s brought a build of app %s, and %s that, not release %s", prose(names, "and"), f.App, verb(len(names), "shows", "show"), f.Release)
	}
}

// await waits, at most wait, until all running nodes have the current registry state and
// have loaded everything, and reports which have not. After a hint it reads only the
// reports that were outdated.
func (b *backends) await(ctx context.Context, wait time.Duration, lacks func(registry.NodeInfo) string) (nodesReport, error) {
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return nodesReport{}, fmt.Errorf("read back: %w", err)
	}
	return b.awaitNodes(ctx, wait, func(n registry.NodeInfo) string {
		if n.Revision < snap.Revision {
			return "has not read the change from the registry yet"
		}
		return lacks(n)
	})
}

// awaitNodes waits, at most wait, until why says of no running node anything, and
// reports of which it does.
func (b *backends) awaitNodes(ctx context.Context, wait time.Duration, why func(registry.NodeInfo) string) (nodesReport, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var hints <-chan struct{}
	if wait > 0 {
		hints, _ = b.registry.WatchNodes(waiting) // without it there is the poll
	}
	for roll := b.registry.Roll(); ; {
		began := time.Now()
		nodes, err := roll.Call(ctx, func(n registry.NodeInfo) bool { return why(n) == "" })
		if err != nil {
			return nodesReport{}, fmt.Errorf("list nodes: %w", err)
		}
		nodes, _ = registry.Latest(nodes) // a restarted node does not count twice
		report := reportOf(nodes, why)
		if len(report.Lagging) == 0 || !rest(waiting, max(flipPause, time.Since(began)), hints) {
			return report, ctx.Err()
		}
	}
}

// rest waits for least, then for a hint or the next poll; it is false if ctx ends
// before that.
func rest(ctx context.Context, least time.Duration, hints <-chan struct{}) bool {
	if wait.For(ctx, least) != nil {
		return false
	}
	select {
	case <-hints: // closed only when ctx ends
	case <-time.After(flipPoll):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

func reportOf(nodes []registry.NodeInfo, why func(registry.NodeInfo) string) nodesReport {
	report := nodesReport{Total: len(nodes), sides: make(map[holdfast.Side]int)}
	for _, n := range nodes {
		report.sides[n.Side]++
		if reason := why(n); reason != "" {
			report.Lagging = append(report.Lagging, laggard{n.Name, n.Address, reason})
			continue
		}
		report.Ready++
	}
	return report
}

// tell prints a flip for people, and how to undo it.
func (c *cli) tell(f *flip) {
	what := c.id(f.Release)
	if f.App != holdfast.DefaultApp() {
		what += " of app " + f.App.String()
	}
	switch {
	case !f.Changed:
		c.ui.say("%s is already live on side %s (activated %s). Nothing changed.", what, f.Side, humanTime(f.Activated, time.Now()))
	case f.Previous.IsZero():
		c.ui.say("%s is live on side %s, the first release there.", what, f.Side)
	default:
		c.ui.say("%s is live on side %s (was %s). Open tabs on %s keep working.", what, f.Side, f.Previous, f.Previous)
	}
	if f.Nodes.Total > 0 && f.Nodes.sides[f.Side] == 0 { // the request did not depend on other nodes' updates
		c.ui.say("no running node serves side %s; %s serve%s starts one", f.Side, c.program, flipFlags(holdfast.DefaultApp(), f.Side))
	} else {
		c.tellNodes(f.Nodes)
	}
	if f.Changed && !f.Previous.IsZero() {
		c.undo("activate %s%s", f.Previous, flipFlags(f.App, f.Side))
	}
}

// tellNodes says how many nodes have a change, and warns of those that have not.
func (c *cli) tellNodes(n nodesReport) {
	if n.Total == 0 {
		c.ui.say("no node is running; %s serve starts one", c.program)
		return
	}
	c.ui.say("%d of %d nodes updated", n.Ready, n.Total)
	if len(n.Lagging) > 0 {
		c.tellLagging(n.Lagging)
	}
}

func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (c *cli) tellLagging(lagging []laggard) {
	c.warnLagging(lagging)
	c.ui.hint("a node updates by itself once it reaches the registry; holdfast status shows it")
}

// warnLagging names nodes, each with its reason.
func (c *cli) warnLagging(lagging []laggard) {
	const most = 10
	for _, l := range lagging[:min(len(lagging), most)] {
		where := ""
		if l.Address != "" { // a program that joined may not have reported
			where = " (" + l.Address + ")"
		}
		c.ui.warn("", "node %s%s %s", l.Node, where, l.Why)
	}
	if more := len(lagging) - most; more > 0 {
		c.ui.warn("", "and %s", count(more, "more node"))
	}
}

func (c *cli) id(id holdfast.ReleaseID) string { return bold.paint(id.String(), c.ui.outColor) }

// finish waits for the nodes and reports the result. Lagging nodes do not make it fail:
// the activation succeeded.
func (c *cli) finish(ctx context.Context, b *backends, f *flip, o flipOptions) error {
	c.awaitFlip(ctx, b, f, o.after())
	if c.ui.report(f) {
		return nil
	}
	c.tell(f)
	return nil
}

// flipFlags are the flags that a command about app and side needs.
func flipFlags(app holdfast.AppName, side holdfast.Side) (flags string) {
	if app != holdfast.DefaultApp() {
		flags += " --app " + app.String()
	}
	if side != holdfast.DefaultSide() {
		flags += " --side " + side.String()
	}
	return flags
}
