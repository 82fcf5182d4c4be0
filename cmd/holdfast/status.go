package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// clusterStatus is the output of status; the help documents its JSON form.
type clusterStatus struct {
	// Verdict says in a word how things are, Summary in a line.
	Verdict  verdict              `json:"verdict"`
	Summary  string               `json:"summary"`
	Registry string               `json:"registry"`
	Revision int64                `json:"revision"`
	Apps     []appStatus          `json:"apps"`
	Nodes    []nodeStatus         `json:"nodes"`
	Lost     []lostDoc            `json:"lost"`
	Leader   *leaderDoc           `json:"leader,omitempty"`
	Publish  []registry.LeaseInfo `json:"publishing"`
	Hooks    []hookDoc            `json:"hooks"`
	Problems []problem            `json:"problems"`
}

type appStatus struct {
	App      holdfast.AppName       `json:"app"`
	Mount    holdfast.Mount         `json:"mount"`
	Sides    []registry.SideInfo    `json:"sides"`
	Releases map[holdfast.State]int `json:"releases"`
	Draining []holdfast.ReleaseID   `json:"draining"` // the last that was live first
	Kept     []keptBriefly          `json:"kept"`
	Brought  []brought              `json:"brought,omitempty"`
}

// keptBriefly says why a release that is not gone is still there.
type keptBriefly struct {
	Release holdfast.ReleaseID `json:"release"`
	State   holdfast.State     `json:"state"`
	keeping
}

type nodeStatus struct {
	nodeDoc
	Behind bool `json:"behind"`
	// Skew is how many seconds its clock is ahead of this machine's, at the least.
	Skew int64 `json:"skew"`
	// Entries from before a restart that have not ended yet, by ID.
	Before []string `json:"before,omitempty"`
	// Live and draining releases, of all apps, that the node has not loaded.
	Lacks map[holdfast.AppName][]holdfast.ReleaseID `json:"lacks,omitempty"`
	wants int                                       // how many there are
}

func (c *cli) statusCommand() *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is live where, and the nodes",
		Long: `Shows one line first: ok, degraded or down. Then the problems, with what to do
about each; the live release on each side of each app; the nodes, and the leader
(which does the cluster's background work); draining releases, and publishes in
progress. On a terminal, long lists are cut to its size; --all shows everything.

degraded: a node is lost, has not read the last change or has not loaded a live
release; a side is set to a release that is not published yet, or to something
invalid; a hook is failing, or failed permanently within the last week (see
holdfast hooks). down: no running node serves the live release of a side.

SEEN is a node's last report, sent every five minutes. A node that ended without a
clean shutdown, because it was killed or its machine failed, is listed as lost for
a day. A node that came back, with its name and address, is listed once, as it is
now. READY is how many of the live and draining releases of all apps it has
loaded. STATE compares its revision with the registry's.

Exit codes with --check: 0 ok, 3 degraded, 4 down; 1 the status could not be read.

JSON keys: verdict, summary, registry, revision, apps (app, mount, sides: side,
live, activated, pending, problem; releases by state, draining, kept: release,
state, asked, share, action, reasons, at; brought: release, nodes, copies, wanted,
making: node, done, total, refused, differs: release, files, differ, paths), nodes
(id, node, side, address, peer, version, started, seen, revision, ready, prepares,
failing, own, copies: wanted, held, making, refused, behind, skew, lacks, before),
lost (id, node, side, address, version, started, seen), leader (node, address,
version, since, epoch, term), publishing (id, app, manifest, started), hooks (app,
hook, at, givenUp, failing and missed: event, tries, since, tried, error; of missed
also rounds, again), problems (problem, verdict, next).`,
		Example: `  holdfast status
  holdfast status --app shop --side canary
  holdfast status --watch
  holdfast status --check --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.watch && o.check {
				return usage("--check and --watch exclude each other")
			}
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				if o.watch {
					return c.watchStatus(cmd.Context(), b, o)
				}
				s, err := b.status(cmd.Context(), o.app, o.side)
				if err != nil {
					return err
				}
				c.ui.report(s)
				c.showStatus(s, o.all)
				if o.check {
					return s.Verdict.exit()
				}
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(&value[holdfast.AppName]{&o.app, holdfast.ParseAppName, "name", ""}, "app", "this app alone")
	flags.Var(&value[holdfast.Side]{&o.side, holdfast.ParseSide, "name", ""}, "side", "this side alone")
	flags.BoolVar(&o.check, "check", false, "for scripts: exit code 3 if degraded, 4 if down")
	flags.BoolVar(&o.watch, "watch", false, "refresh every two seconds, until Ctrl-C")
	flags.BoolVar(&o.all, "all", false, "show everything, whatever the terminal size")
	jsonFlag(flags)
	return cmd
}

// statusOptions are the flags of status.
type statusOptions struct {
	app               holdfast.AppName // zero: all
	side              holdfast.Side    // zero: all
	check, watch, all bool
}

// status reads all there is to show, of one app and one side if they are not zero.
func (b *backends) status(ctx context.Context, app holdfast.AppName, side holdfast.Side) (*clusterStatus, error) {
	if !app.IsZero() {
		if _, err := b.app(ctx, app); err != nil {
			return nil, err
		}
	}
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read status: %w", err)
	}
	nodes, err := b.registry.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	lost, err := b.registry.Lost(ctx, nodes)
	if err != nil {
		return nil, fmt.Errorf("look for lost nodes: %w", err)
	}
	leader, led, err := b.registry.Leader(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for the leader: %w", err)
	}
	usage, err := b.registry.Usage(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what nodes are asked for: %w", err)
	}
	leases, err := b.registry.Leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("list publishes: %w", err)
	}
	hooks, err := b.registry.Hooks(ctx, snap)
	if err != nil {
		return nil, fmt.Errorf("look at hooks: %w", err)
	}
	s := &clusterStatus{
		Registry: snap.Registry, Revision: snap.Revision,
		Apps: []appStatus{}, Nodes: []nodeStatus{}, Publish: notNil(leases), Lost: []lostDoc{}, Hooks: []hookDoc{}, Problems: []problem{},
	}
	if led {
		s.Leader = docOfLeader(&leader)
	}
	nodes, before := registry.Latest(nodes)
	for _, n := range nodes {
		if side.IsZero() || n.Side == side {
			s.Nodes = append(s.Nodes, newNodeStatus(n, before[n.ID], snap, b.now()))
		}
	}
	for _, n := range lost {
		if side.IsZero() || n.Side == side {
			s.Lost = append(s.Lost, lostDoc{n.ID, n.Name, n.Side, n.Address, n.Version, n.Started, n.Seen})
		}
	}
	for _, state := range snap.Apps {
		if app.IsZero() || state.Name == app {
			s.add(state, usage, side)
			s.Apps[len(s.Apps)-1].Brought = broughtOf(state, nodes)
		}
	}
	for _, h := range hooks {
		if app.IsZero() || h.App == app {
			s.Hooks = append(s.Hooks, docOfHook(h))
		}
	}
	s.Problems = append(s.Problems, clockProblems(nodes, snap, b.now())...)
	s.judge(time.Now())
	if !side.IsZero() && !s.knows(side) {
		return nil, unknownSide(snap, side)
	}
	return s, nil
}

func (s *clusterStatus) add(state *registry.AppState, usage registry.Usage, side holdfast.Side) {
	a := appStatus{state.Name, state.Settings.Mount, []registry.SideInfo{}, map[holdfast.State]int{}, draining(state), []keptBriefly{}, nil}
	for _, r := range kept(state, usage[state.Name], time.Now()) {
		if r.State != holdfast.Gone {
			a.Kept = append(a.Kept, keptBriefly{r.Release, r.State, r.keeping})
		}
	}
	for _, i := range state.Sides {
		if !side.IsZero() && i.Side != side {
			continue
		}
		a.Sides = append(a.Sides, i)
	}
	for _, r := range state.Releases {
		a.Releases[r.State]++
	}
	s.Apps = append(s.Apps, a)
}

// draining returns the releases that are served although they are live nowhere.
func draining(state *registry.AppState) []holdfast.ReleaseID {
	var infos []registry.ReleaseInfo
	for _, r := range state.Releases {
		if r.State == holdfast.Draining {
			infos = append(infos, r)
		}
	}
	slices.SortFunc(infos, func(a, b registry.ReleaseInfo) int { return b.Activated.Compare(a.Activated) })
	ids := make([]holdfast.ReleaseID, len(infos))
	for i := range infos {
		ids[i] = infos[i].ID
	}
	return ids
}

// knows reports whether an app or a node has the side.
func (s *clusterStatus) knows(side holdfast.Side) bool {
	return len(s.Nodes) > 0 || slices.ContainsFunc(s.Apps, func(a appStatus) bool { return len(a.Sides) > 0 })
}

func unknownSide(snap *registry.Snapshot, side holdfast.Side) error {
	var names []string
	for _, a := range snap.Apps {
		for _, s := range a.Sides {
			names = append(names, s.Side.String())
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	err := missing("there is no side %s", side)
	if len(names) == 0 {
		return hinted(err, "nothing was activated yet; holdfast activate RELEASE --side %s creates the side", side)
	}
	return hinted(err, "%sthe %s %s", meant("", nearest(side.String(), names)), verb(len(names), "side is", "sides are"), prose(names, "and"))
}
