package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// showStatus prints s: the verdict, the problems, and then the lists, the short ones
// first. On a terminal those are cut to its size, unless all is set.
func (c *cli) showStatus(s *clusterStatus, all bool) {
	u := *c.ui
	if all {
		u.width, u.height = 0, 0
	}
	t := &statusText{ui: &u, program: c.program, now: time.Now()}
	t.verdict(s)
	if len(s.Apps) == 0 {
		return
	}
	u.say("")
	t.apps(s)
	u.say("")
	t.nodes(s)
	t.draining(s)
	t.brought(s.Apps)
	for _, l := range s.Publish {
		u.say("a publish of app %s is running, since %s", l.App, humanTime(l.Started, t.now))
	}
}

// statusText writes a status for people.
type statusText struct {
	ui      *ui
	program string
	now     time.Time
}

func (t *statusText) verdict(s *clusterStatus) {
	look := map[verdict]style{ok: green, degraded: yellow, down: red}[s.Verdict]
	summary := s.Summary
	if len(s.Problems) > 0 { // which follow, in full
		summary = fmt.Sprintf("%s; %s", count(len(s.Problems), "problem"), s.size())
	}
	t.ui.say("%s %s", look.paint(string(s.Verdict)+":", t.ui.outColor), summary)
	for _, p := range s.Problems {
		t.ui.say("%s %s", look.paint("problem:", t.ui.outColor), p.Problem)
		if p.Next != "" {
			t.ui.say("  %s %s", dim.paint("next:", t.ui.outColor), t.ui.typed(p.Next))
		}
	}
	if len(s.Apps) == 0 {
		t.ui.say("%s %s publish DIR --activate", dim.paint("next:", t.ui.outColor), t.program)
	}
}

// appsShare is the part of a terminal's lines for apps: nodes and problems must also fit.
const appsShare = 0.4

func (t *statusText) apps(s *clusterStatus) {
	var rows [][]cell
	shown := 0
	for _, a := range s.Apps {
		more := sideRows(&a, t.now)
		if t.ui.height > 0 && shown > 0 && float64(len(rows)+len(more)) > appsShare*float64(t.ui.height) {
			break
		}
		rows = append(rows, more...)
		shown++
	}
	t.ui.table([]string{"APP", "MOUNT", "SIDE", "LIVE", "SINCE", "RELEASES"}, rows)
	if more := len(s.Apps) - shown; more > 0 {
		t.ui.say("and %s: %s status --all", count(more, "more app"), t.program)
	}
}

func sideRows(a *appStatus, now time.Time) (rows [][]cell) {
	releases := releaseCounts(a)
	if len(a.Sides) == 0 {
		live, look := "nothing", yellow
		if text := nodesBring(a); text != "" {
			live, look = text, green
		}
		return [][]cell{{{a.App.String(), bold}, {a.Mount.String(), plain}, {"-", plain}, {live, look}, {"", plain}, {releases, plain}}}
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

// nodesBring says what is live of an app whose nodes bring its releases: on each node its
// own. It is empty where no node that runs brings one.
func nodesBring(a *appStatus) string {
	var live []string
	for i := range a.Brought {
		if b := &a.Brought[i]; len(b.Nodes) > 0 {
			live = append(live, b.Release.String())
		}
	}
	switch {
	case len(live) == 0:
		return ""
	case len(live) == 1:
		return live[0]
	}
	return fmt.Sprintf("%d builds of nodes", len(live))
}

// drainingMost is how many releases that drain are shown on a terminal.
const drainingMost = 5

// draining describes the requests for draining releases, and when they may go.
func (t *statusText) draining(s *clusterStatus) {
	var rows [][]cell
	for _, a := range s.Apps {
		for _, k := range a.Kept {
			if k.State == holdfast.Draining {
				rows = append(rows, cells(k.Release.String(), a.App.String(), traffic(k.Share), k.text(k.State, t.now)))
			}
		}
	}
	if len(rows) == 0 {
		return
	}
	most := len(rows)
	if t.ui.height > 0 {
		most = min(most, drainingMost)
	}
	t.ui.say("")
	t.ui.table([]string{"DRAINING", "APP", "TRAFFIC", "KEPT"}, rows[:most])
	if more := len(rows) - most; more > 0 {
		t.ui.say("and %s more: %s status --all", grouped(more), t.program)
	}
}

// releaseCounts counts the releases by state, and names draining ones; live ones are
// shown next to it.
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

func (t *statusText) nodes(s *clusterStatus) {
	var rows [][]cell
	for _, n := range s.Nodes {
		row := cells(n.Node, n.Side.String(), n.Address, n.Version, humanTime(n.Started, t.now), humanTime(n.Seen, t.now))
		rows = append(rows, append(row, n.ready(), n.state(s.Revision)))
	}
	for _, n := range s.Lost {
		row := cells(n.Node, n.Side.String(), n.Address, n.Version, humanTime(n.Started, t.now), humanTime(n.Seen, t.now))
		rows = append(rows, append(row, cell{text: "-"}, cell{"lost", red}))
	}
	if len(rows) == 0 {
		t.ui.say("no node is running; %s serve starts one", t.program)
		return
	}
	rows = t.some(rows)
	t.ui.table([]string{"NODE", "SIDE", "ADDRESS", "VERSION", "STARTED", "SEEN", "READY", "STATE"}, rows)
	if more := len(s.Nodes) + len(s.Lost) - len(rows); more > 0 {
		t.ui.say("and %s: %s status --all", count(more, "more node"), t.program)
	}
	for _, n := range s.Nodes {
		if len(n.Before) > 0 {
			t.ui.say("%s restarted; its old registration expires in a few seconds", n.Node)
		}
	}
	if s.Leader != nil {
		t.ui.say("%s leads, since %s", s.Leader.Node, humanTime(s.Leader.Since, t.now))
	}
}

// some cuts the list of nodes to a third of the terminal. Those that are not up to date
// come first then.
func (t *statusText) some(rows [][]cell) [][]cell {
	most := max(3, t.ui.height/3)
	if t.ui.height == 0 || len(rows) <= most {
		return rows
	}
	slices.SortStableFunc(rows, func(a, b []cell) int { return rank(a) - rank(b) })
	return rows[:most]
}

// rank is 0 for the row of a node that something is wrong with.
func rank(row []cell) int {
	for _, c := range row {
		if c.style == red || c.style == yellow {
			return 0
		}
	}
	return 1
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
		return cell{fmt.Sprintf("behind: at revision %d of %d", n.Revision, revision), yellow}
	}
	return cell{"up to date", green}
}
