package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// verdict says in a word how a cluster is.
type verdict string

const (
	ok       verdict = "ok"
	degraded verdict = "degraded" // it serves, and something needs a look
	down     verdict = "down"     // something that is live is not served
)

// exit is how status --check ends.
func (v verdict) exit() error {
	switch v {
	case ok:
		return nil
	case degraded:
		return exitStatus(exitDegraded)
	}
	return exitStatus(exitDown)
}

// problem is a problem with its severity and the advice.
type problem struct {
	Problem string  `json:"problem"`
	Verdict verdict `json:"verdict"`
	Next    string  `json:"next,omitempty"`
}

// judge finds problems, the worst first, and the overall verdict.
func (s *clusterStatus) judge(now time.Time) {
	for _, a := range s.Apps {
		for _, i := range a.Sides {
			if !i.Pending.IsZero() {
				s.wrong(degraded, fmt.Sprintf("publish %s, or activate another release on side %s", i.Pending, i.Side),
					"app %s, side %s: set to release %s, which becomes live once it is published", a.App, i.Side, i.Pending)
			}
			if i.Problem != "" {
				s.wrong(degraded, adviseOnSide(a.App, &i), "app %s, side %s: %s", a.App, i.Side, i.Problem)
			}
		}
	}
	s.judgeSides()
	s.judgeBareSides()
	s.judgeNodes(now)
	s.Problems = append(s.Problems, loadProblems(s.Nodes)...)
	s.Problems = append(s.Problems, hookProblems(s.Hooks, now)...)
	slices.SortStableFunc(s.Problems, func(a, b problem) int { return severity(b.Verdict) - severity(a.Verdict) })
	s.Verdict = ok
	if len(s.Problems) > 0 {
		s.Verdict = s.Problems[0].Verdict
	}
	s.Summary = s.summary()
}

func severity(v verdict) int { return slices.Index([]verdict{ok, degraded, down}, v) }

func (s *clusterStatus) wrong(v verdict, next, format string, args ...any) {
	s.Problems = append(s.Problems, problem{fmt.Sprintf(format, args...), v, next})
}

// judgeSides checks whether running nodes serve the live releases of the sides.
func (s *clusterStatus) judgeSides() {
	var deserted []holdfast.Side
	for _, a := range s.Apps {
		for _, i := range a.Sides {
			if i.Live.IsZero() {
				continue
			}
			switch on, ready := s.serving(a.App, i.Side, i.Live); {
			case on == 0:
				deserted = append(deserted, i.Side)
			case ready == 0:
				s.wrong(down, "look at the logs of these nodes: can they read the store?", "app %s, side %s: no node has loaded the live release %s", a.App, i.Side, i.Live)
			}
		}
	}
	if len(s.Nodes) == 0 && len(deserted) > 0 {
		s.wrong(down, "holdfast serve starts one", "no node is running")
		return
	}
	slices.SortFunc(deserted, func(a, b holdfast.Side) int { return strings.Compare(a.String(), b.String()) })
	for _, side := range slices.Compact(deserted) {
		v := degraded // perhaps it is not in use
		if slices.ContainsFunc(s.Lost, func(n lostDoc) bool { return n.Side == side }) {
			v = down
		}
		s.wrong(v, fmt.Sprintf("holdfast serve --side %s starts one", side), "side %s: it has a live release, and no running node serves it", side)
	}
}

// judgeBareSides looks for running nodes that answer 503 for the pages of an app, since
// nothing of it is live on their side although something is on others.
func (s *clusterStatus) judgeBareSides() {
	for _, a := range s.Apps {
		live := make(map[holdfast.Side]bool)
		for _, i := range a.Sides {
			live[i.Side] = live[i.Side] || !i.Live.IsZero()
		}
		if len(a.Brought) > 0 || !slices.Contains(slices.Collect(maps.Values(live)), true) {
			continue // nodes bring its releases, or nothing was ever live
		}
		bare := make(map[holdfast.Side]int)
		for _, n := range s.Nodes {
			if !live[n.Side] {
				bare[n.Side]++
			}
		}
		for _, side := range slices.SortedFunc(maps.Keys(bare), func(a, b holdfast.Side) int { return strings.Compare(a.String(), b.String()) }) {
			v := degraded // the nodes may be for other apps
			if bare[side] == len(s.Nodes) {
				v = down
			}
			s.wrong(v, fmt.Sprintf("activate one: holdfast activate RELEASE --app %s --side %s --create", a.App, side),
				"app %s: no live release on side %s, so the %s there %s 503 for its pages", a.App, side, count(bare[side], "running node"), verb(bare[side], "answers", "answer"))
		}
	}
}

// serving counts the running nodes of a side, and those of them that have a release.
func (s *clusterStatus) serving(app holdfast.AppName, side holdfast.Side, id holdfast.ReleaseID) (on, ready int) {
	for _, n := range s.Nodes {
		if n.Side != side {
			continue
		}
		on++
		if slices.Contains(n.Ready[app], id) {
			ready++
		}
	}
	return on, ready
}

// judgeNodes looks at each node.
func (s *clusterStatus) judgeNodes(now time.Time) {
	for _, n := range s.Lost {
		s.wrong(degraded, "check that machine; restart the node, or ignore this: it is forgotten after a day",
			"node %s (%s) is lost: it did not shut down cleanly, and was last seen %s", n.Node, n.Address, humanTime(n.Seen, now))
	}
	for _, n := range s.Nodes {
		if n.Behind {
			s.wrong(degraded, "it should catch up; if this lasts, check its log and its connection to the registry",
				"node %s%s is at revision %d of %d", n.Node, inBrackets(n.Address), n.Revision, s.Revision)
		}
		if lacks := s.lacksLive(&n); lacks != "" {
			s.wrong(degraded, "it should load it soon; if this lasts, check its log and its connection to the store",
				"node %s%s has not loaded %s", n.Node, inBrackets(n.Address), lacks)
		}
	}
}

// lacksLive names the first live release of the node's side that it has not loaded,
// although it knows of it; "" for none.
func (s *clusterStatus) lacksLive(n *nodeStatus) string {
	for _, a := range s.Apps {
		for _, i := range a.Sides {
			if i.Side == n.Side && slices.Contains(n.Lacks[a.App], i.Live) && n.Failing[a.App][i.Live] == "" {
				return fmt.Sprintf("release %s of app %s, live on its side", i.Live, a.App)
			}
		}
	}
	return ""
}

// inBrackets formats an address, which a program that joined may not have reported.
func inBrackets(address string) string {
	if address == "" {
		return ""
	}
	return " (" + address + ")"
}

// summary says how things are, in a line.
func (s *clusterStatus) summary() string {
	if s.Verdict != ok {
		text := s.Problems[0].Problem
		if more := len(s.Problems) - 1; more > 0 {
			text += fmt.Sprintf("; and %s", count(more, "more problem"))
		}
		return text
	}
	if len(s.Apps) == 0 {
		return "nothing was published yet"
	}
	return s.size()
}

// size says how much there is.
func (s *clusterStatus) size() string {
	return fmt.Sprintf("%s %s, %s", count(len(s.Nodes), "node"), verb(len(s.Nodes), "runs", "run"), count(len(s.Apps), "app"))
}
