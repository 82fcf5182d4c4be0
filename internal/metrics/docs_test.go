package metrics

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// names are the metrics of a node that has everything, without the suffixes of
// histograms.
func names(t *testing.T) map[string]bool {
	m, tab := New("v1"), shop(t)
	ask(m, tab, "/@v1/app.js")
	m.Collect(full(tab))
	all := make(map[string]bool)
	for line := range strings.SplitSeq(scrapeOf(t, m), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			all[name] = true
		}
	}
	return all
}

// TestRulesNameMetrics: alert rules refer to metrics that there are.
func TestRulesNameMetrics(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/holdfast.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	known, used := names(t), regexp.MustCompile(`\bholdfast_[a-z_]+`).FindAllString(string(text), -1)
	if len(used) < 6 {
		t.Errorf("only %d metrics are used", len(used))
	}
	for _, name := range used {
		if !known[name] {
			t.Errorf("no metric is called %s", name)
		}
	}
}

// TestMetricsAreDocumented: docs/serve.md lists every metric of ours.
func TestMetricsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	last := ""
	for _, m := range regexp.MustCompile("`(holdfast)?(_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		if m[1] != "" {
			last = m[1] + m[2]
			listed[last] = true
			continue
		}
		for i := range last { // "_failed_total" after "holdfast_deltas_made_total": the beginning of that counts
			if last[i] == '_' {
				listed[last[:i]+m[2]] = true
			}
		}
	}
	for name := range names(t) {
		if strings.HasPrefix(name, "holdfast_") && !listed[name] {
			t.Errorf("%s is not documented", name)
		}
	}
}
