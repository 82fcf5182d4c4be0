package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/lifecycle"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// oneApp is a status of one app with a release that is live on the main side.
func oneApp(t *testing.T, nodes ...nodeStatus) *clusterStatus {
	t.Helper()
	return &clusterStatus{Revision: 7, Nodes: nodes, Apps: []appStatus{{
		App: holdfast.DefaultApp(), Sides: []registry.SideInfo{{Side: holdfast.DefaultSide(), Live: holdtest.ID("r1")}},
	}}}
}

func runs(t *testing.T, name string, ready ...string) nodeStatus {
	t.Helper()
	n := nodeStatus{nodeDoc: nodeDoc{Node: name, Address: name + ":80", Side: holdfast.DefaultSide(), Revision: 7}, Lacks: map[holdfast.AppName][]holdfast.ReleaseID{}}
	n.Ready = map[holdfast.AppName][]holdfast.ReleaseID{}
	for _, r := range ready {
		n.Ready[holdfast.DefaultApp()] = append(n.Ready[holdfast.DefaultApp()], holdtest.ID(r))
	}
	if len(ready) == 0 {
		n.Lacks[holdfast.DefaultApp()] = []holdfast.ReleaseID{holdtest.ID("r1")}
	}
	return n
}

func TestVerdicts(t *testing.T) {
	other := runs(t, "other", "r1")
	other.Side = holdtest.Side("blue")
	behind := runs(t, "behind", "r1")
	behind.Behind, behind.Revision = true, 5
	pending := oneApp(t, runs(t, "n", "r1"))
	pending.Apps[0].Sides[0].Pending = holdtest.ID("r9")
	lost := oneApp(t, runs(t, "n", "r1"))
	lost.Lost = []lostDoc{{Node: "gone", Address: "gone:80", Side: holdfast.DefaultSide()}}
	deserted := oneApp(t, other)
	deserted.Lost = lost.Lost
	failing := oneApp(t, runs(t, "n", "r1"))
	failing.Hooks = []hookDoc{{App: holdfast.DefaultApp(), Failing: &registry.HookFailure{Tries: 1}}}
	tests := []struct {
		name   string
		status *clusterStatus
		want   verdict
		says   string
	}{
		{"nothing", &clusterStatus{}, ok, "nothing was published yet"},
		{"all is well", oneApp(t, runs(t, "n", "r1")), ok, "1 node runs, 1 app"},
		{"no node", oneApp(t), down, "no node is running"},
		{"the only node has not loaded it", oneApp(t, runs(t, "n")), down, "no node has loaded the live release r1"},
		{"one of two has not loaded it", oneApp(t, runs(t, "a", "r1"), runs(t, "b")), degraded, "node b (b:80) has not loaded release r1 of app default"},
		{"behind", oneApp(t, behind), degraded, "is at revision 5 of 7"},
		{"a side without nodes", oneApp(t, runs(t, "n", "r1"), other), degraded, "no live release on side blue, so the 1 running node there answers 503"},
		{"no node where something is live", oneApp(t, other), down, "no live release on side blue"},
		{"a side whose nodes are lost", deserted, down, "no running node serves it"},
		{"a lost node", lost, degraded, "node gone (gone:80) is lost"},
		{"pending", pending, degraded, "set to release r9"},
		{"a hook", failing, degraded, "fails for"},
	}
	for _, tt := range tests {
		tt.status.judge(time.Now())
		if tt.status.Verdict != tt.want || !strings.Contains(tt.status.Summary, tt.says) {
			t.Errorf("%s: %s: %s; want %s: %s", tt.name, tt.status.Verdict, tt.status.Summary, tt.want, tt.says)
		}
		for _, p := range tt.status.Problems {
			if p.Next == "" {
				t.Errorf("%s: nothing says what to do about %q", tt.name, p.Problem)
			}
		}
	}
}

// TestStatusFitsTheTerminal: 20 apps with 107 releases, and the essentials, fit on a
// screen of 80 by 24; elsewhere, and with --all, nothing is cut.
func TestStatusFitsTheTerminal(t *testing.T) {
	s := &clusterStatus{Revision: 7, Nodes: []nodeStatus{runs(t, "n1"), runs(t, "n2")}}
	for i := range 20 {
		app := holdtest.App(fmt.Sprintf("application-%02d", i))
		a := appStatus{App: app, Sides: []registry.SideInfo{{Side: holdfast.DefaultSide(), Live: holdtest.ID("2026-05-17.1")}}}
		a.Releases = map[holdfast.State]int{holdfast.Live: 1, holdfast.Draining: 4}
		for j := range 4 {
			id := holdtest.ID(fmt.Sprintf("2026-05-1%d.1", j))
			a.Draining = append(a.Draining, id)
			a.Kept = append(a.Kept, keptBriefly{id, holdfast.Draining, keeping{Reasons: []lifecycle.Reason{{Detail: strings.Repeat("kept for a long reason ", 5)}}}})
		}
		s.Apps = append(s.Apps, a)
		for n := range s.Nodes {
			s.Nodes[n].Ready[app] = []holdfast.ReleaseID{holdtest.ID("2026-05-17.1")}
		}
	}
	s.judge(time.Now())
	show := func(width, height int, all bool) []string {
		var out bytes.Buffer
		c := &cli{program: "holdfast", ui: &ui{out: &out, err: io.Discard, width: width, height: height}}
		c.showStatus(s, all)
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	lines := show(80, 30, false)
	if len(lines) > 30 {
		t.Errorf("%d lines on a terminal of 30", len(lines))
	}
	for _, line := range lines {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	text := strings.Join(lines, "\n")
	if !strings.HasPrefix(text, "ok: 2 nodes run, 20 apps\n") || !strings.Contains(text, "\nn2 ") || !strings.Contains(text, "more apps: holdfast status --all") ||
		strings.Index(text, "\nNODE") > strings.Index(text, "\nDRAINING") {
		t.Errorf("on a terminal:\n%s", text)
	}
	for name, lines := range map[string][]string{"--all": show(80, 24, true), "no terminal": show(0, 0, false)} {
		if text := strings.Join(lines, "\n"); strings.Count(text, "application-") != 20+80 || strings.Contains(text, "…\n") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}
