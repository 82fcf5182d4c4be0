package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// clusterStatus is what status shows; its JSON form is documented in its help.
type clusterStatus struct {
	Registry string               `json:"registry"`
	Revision int64                `json:"revision"`
	Apps     []appStatus          `json:"apps"`
	Nodes    []nodeStatus         `json:"nodes"`
	Leader   *leaderDoc           `json:"leader,omitempty"`
	Publish  []registry.LeaseInfo `json:"publishing"`
	Hooks    []hookDoc            `json:"hooks"`
	Problems []string             `json:"problems"`
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
	// Entries that it had before it began anew, and that have not ended yet, by ID.
	Before []string `json:"before,omitempty"`
	// What of the live and draining releases of all apps the node has not loaded.
	Lacks map[holdfast.AppName][]holdfast.ReleaseID `json:"lacks,omitempty"`
	wants int                                       // how many there are
}

func (c *cli) statusCommand() *cobra.Command {
	var app holdfast.AppName
	var side holdfast.Side
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is live where, and the nodes",
		Long: `Shows what is live on each side of each app and which releases still drain, which
nodes are running, whether they have taken notice of the last change, which of them
leads (does the work that one node does for all), which publishes are going on, and
what is wrong: a side set to a release that is not published yet, a version key that
another program set to something invalid, a hook that fails, or was given up within
the last week and not run again (see holdfast hooks).

Of a node, SEEN is when it last told of a change: it has nothing to tell between two
flips, and one that is gone is not listed a few seconds later. One that was killed
and began anew, with its name and address, is listed once, as it is now. READY is
how many of the live and draining releases of all apps it has loaded. STATE compares
what it knows with the registry's last revision.

JSON keys: registry, revision, apps (app, mount, sides: side, live, activated,
pending, problem; releases by state, draining, kept: release, state, asked,
share, action, reasons, at; brought: release, nodes, copies, wanted, making: node,
done, total, refused, differs: release, files, differ, paths), nodes (id, node,
side, address, peer, version, started, seen, revision, ready, prepares, failing,
own, copies: wanted, held, making, refused, behind, lacks, before), leader (node,
address, version, since, epoch, term), publishing (id, app, manifest, started),
hooks (app, hook, at, givenUp, failing and missed: event, tries, since, tried,
error; of missed also rounds, again), problems.`,
		Example: `  holdfast status
  holdfast status --app shop --side canary
  holdfast status --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				s, err := b.status(cmd.Context(), app, side)
				if err != nil {
					return err
				}
				if asJSON {
					return c.ui.json(s)
				}
				c.showStatus(s)
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(&value[holdfast.AppName]{&app, holdfast.ParseAppName, "name", ""}, "app", "this app alone")
	flags.Var(&value[holdfast.Side]{&side, holdfast.ParseSide, "name", ""}, "side", "this side alone")
	jsonFlag(flags, &asJSON)
	return cmd
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
		Apps: []appStatus{}, Nodes: []nodeStatus{}, Publish: notNil(leases), Hooks: []hookDoc{}, Problems: []string{},
	}
	if led {
		s.Leader = docOfLeader(&leader)
	}
	nodes, before := registry.Latest(nodes)
	for _, n := range nodes {
		if side.IsZero() || n.Side == side {
			s.Nodes = append(s.Nodes, newNodeStatus(n, before[n.ID], snap))
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
	s.Problems = append(s.Problems, loadProblems(s.Nodes)...)
	s.Problems = append(s.Problems, hookProblems(s.Hooks, time.Now())...)
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
		if !i.Pending.IsZero() {
			s.Problems = append(s.Problems, fmt.Sprintf("app %s, side %s: release %s is set and will be live when it is published", state.Name, i.Side, i.Pending))
		}
		if i.Problem != "" {
			s.Problems = append(s.Problems, fmt.Sprintf("app %s, side %s: %s", state.Name, i.Side, i.Problem))
		}
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

func newNodeStatus(n registry.NodeInfo, before []registry.NodeInfo, snap *registry.Snapshot) nodeStatus {
	s := nodeStatus{nodeDoc: docOfNode(&n), Behind: n.Revision < snap.Revision, Lacks: map[holdfast.AppName][]holdfast.ReleaseID{}}
	for _, b := range before {
		s.Before = append(s.Before, b.ID)
	}
	for _, app := range snap.Apps {
		for _, r := range app.Releases {
			if r.State != holdfast.Live && r.State != holdfast.Draining {
				continue
			}
			s.wants++
			if !slices.Contains(n.Ready[app.Name], r.ID) {
				s.Lacks[app.Name] = append(s.Lacks[app.Name], r.ID)
			}
		}
	}
	return s
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
		return hinted(err, "nothing was activated yet; holdfast activate RELEASE --side %s makes the side", side)
	}
	return hinted(err, "%sthe %s %s", meant("", nearest(side.String(), names)), verb(len(names), "side is", "sides are"), prose(names, "and"))
}

func (c *cli) showStatus(s *clusterStatus) {
	if len(s.Apps) == 0 {
		c.ui.say("no app yet; nothing was published")
		c.next("publish DIR --activate")
	}
	now := time.Now()
	var rows [][]cell
	for _, a := range s.Apps {
		rows = append(rows, sideRows(&a, now)...)
	}
	c.ui.table([]string{"APP", "MOUNT", "SIDE", "LIVE", "SINCE", "RELEASES"}, rows)
	c.showDraining(s.Apps, now)
	c.ui.say("")
	c.showNodes(s, now)
	c.showBrought(s.Apps)
	for _, l := range s.Publish {
		c.ui.say("a publish of app %s is going on, since %s", l.App, humanTime(l.Started, now))
	}
	for _, p := range s.Problems {
		c.ui.say("%s %s", yellow.paint("problem:", c.ui.outColor), p)
	}
}

func sideRows(a *appStatus, now time.Time) (rows [][]cell) {
	releases := releaseCounts(a)
	if len(a.Sides) == 0 {
		return [][]cell{{{a.App.String(), bold}, {a.Mount.String(), plain}, {"-", plain}, {"nothing", yellow}, {"", plain}, {releases, plain}}}
	}
	for i, s := range a.Sides {
		live, look := s.Live.String(), green
		if s.Live.IsZero() {
			live, look = "nothing", yellow
		}
		row := []cell{{a.App.String(), bold}, {a.Mount.String(), plain}, {s.Side.String(), plain}, {live, look}, {humanTime(s.Activated, now), plain}, {releases, plain}}
		if i > 0 {
			row[0].text, row[1].text, row[5].text = "", "", ""
		}
		rows = append(rows, row)
	}
	return rows
}

// drainingMost is how many releases of one app that drain are shown.
const drainingMost = 5

// showDraining says of the releases that are live nowhere and still served who asks
// for them, and when they may go.
func (c *cli) showDraining(apps []appStatus, now time.Time) {
	var rows [][]cell
	more := 0
	for _, a := range apps {
		shown := 0
		for _, k := range a.Kept {
			if k.State != holdfast.Draining {
				continue
			}
			if shown++; shown > drainingMost {
				more++
				continue
			}
			rows = append(rows, cells(k.Release.String(), a.App.String(), traffic(k.Share), k.text(k.State, now)))
		}
	}
	if len(rows) == 0 {
		return
	}
	c.ui.say("")
	c.ui.table([]string{"DRAINING", "APP", "TRAFFIC", "KEPT"}, rows)
	if more > 0 {
		c.ui.say("and %s more: holdfast releases", grouped(more))
	}
}

// releaseCounts says how many releases are in which state, and names those that
// drain: what is live stands beside it.
func releaseCounts(a *appStatus) string {
	var texts []string
	for s := holdfast.Published; s <= holdfast.Gone; s++ {
		if n := a.Releases[s]; n > 0 {
			text := grouped(n) + " " + s.String()
			if s == holdfast.Draining {
				text += " (" + firstOf(a.Draining) + ")"
			}
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", ")
}

func firstOf(ids []holdfast.ReleaseID) string {
	const most = 3
	var names []string
	for _, id := range ids[:min(len(ids), most)] {
		names = append(names, id.String())
	}
	if len(ids) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

func (c *cli) showNodes(s *clusterStatus, now time.Time) {
	if len(s.Nodes) == 0 {
		c.ui.say("no node is running; holdfast serve starts one")
		return
	}
	var rows [][]cell
	behind := 0
	for _, n := range s.Nodes {
		if n.Behind {
			behind++
		}
		row := cells(n.Node, n.Side.String(), n.Address, n.Version, humanTime(n.Started, now), humanTime(n.Seen, now))
		rows = append(rows, append(row, n.ready(), n.state(s.Revision)))
	}
	c.ui.table([]string{"NODE", "SIDE", "ADDRESS", "VERSION", "STARTED", "SEEN", "READY", "STATE"}, rows)
	if behind > 0 {
		c.ui.say("%s %s behind", count(behind, "node"), verb(behind, "is", "are"))
	}
	for _, n := range s.Nodes {
		if len(n.Before) > 0 {
			c.ui.say("%s began anew; what the registry knows of it from before goes within seconds", n.Node)
		}
	}
	if s.Leader != nil {
		c.ui.say("%s leads, since %s", s.Leader.Node, humanTime(s.Leader.Since, now))
	}
}

// ready says how many of the releases that are served a node has loaded.
func (n *nodeStatus) ready() cell {
	lacks := 0
	for _, ids := range n.Lacks {
		lacks += len(ids)
	}
	look := green
	if lacks > 0 {
		look = yellow
	}
	return cell{fmt.Sprintf("%d of %d", n.wants-lacks, n.wants), look}
}

func (n *nodeStatus) state(revision int64) cell {
	if n.Behind {
		return cell{fmt.Sprintf("behind: knows revision %d of %d", n.Revision, revision), yellow}
	}
	return cell{"up to date", green}
}
