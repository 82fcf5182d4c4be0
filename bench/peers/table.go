package main

import (
	"fmt"
	"runtime"
	"strings"
)

// table is what was measured: microseconds of CPU a request, by cell and server.
type table struct {
	options options
	servers []string
	names   []string
	costs   map[string]map[string][]float64
}

func newTable(servers []*server, o options) *table {
	t := &table{options: o, costs: make(map[string]map[string][]float64)}
	for _, s := range servers {
		t.servers = append(t.servers, s.name)
	}
	return t
}

func (t *table) row(name string) map[string][]float64 {
	t.names = append(t.names, name)
	t.costs[name] = make(map[string][]float64)
	return t.costs[name]
}

// ratio compares the first server with the best of the others that are not ours.
func (t *table) ratio(name string) (ratio float64, best string) {
	lowest := 0.0
	for _, s := range t.servers {
		costs := t.costs[name][s]
		if len(costs) == 0 || strings.HasPrefix(s, "Holdfast") {
			continue
		}
		if m := median(costs); best == "" || m < lowest {
			lowest, best = m, s
		}
	}
	own := t.costs[name][t.servers[0]]
	if best == "" || len(own) == 0 {
		return 0, ""
	}
	return median(own) / lowest, best
}

func (t *table) line(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s ", name)
	for _, s := range t.servers {
		if costs := t.costs[name][s]; len(costs) > 0 {
			fmt.Fprintf(&b, "| %.1f ", median(costs))
		} else {
			b.WriteString("| – ")
		}
	}
	if ratio, best := t.ratio(name); best != "" {
		fmt.Fprintf(&b, "| %.2f (%s) |", ratio, best)
	} else {
		b.WriteString("| – |")
	}
	return b.String()
}

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CPU time of one request in µs, median of %d rounds of %s, %s/%s; last column: Holdfast by the best other server.\n\n", t.options.rounds, t.options.length, runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(&b, "| | %s | ratio |\n|%s\n", strings.Join(t.servers, " | "), strings.Repeat(" --- |", len(t.servers)+2))
	for _, name := range t.names {
		b.WriteString(t.line(name) + "\n")
	}
	return b.String()
}
