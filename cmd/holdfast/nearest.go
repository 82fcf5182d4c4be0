package main

import (
	"slices"
	"strings"
)

// nearest returns the candidates that word was probably meant to be, the
// likeliest first, at most three.
func nearest(word string, candidates []string) []string {
	type scored struct {
		text     string
		distance int
	}
	var close []scored
	for _, c := range candidates {
		d := distance(strings.ToLower(word), strings.ToLower(c))
		contained := len(word) >= 3 && strings.Contains(strings.ToLower(c), strings.ToLower(word))
		if d <= max(1, min(len(word), len(c))/3) || contained {
			close = append(close, scored{c, d})
		}
	}
	slices.SortStableFunc(close, func(a, b scored) int { return a.distance - b.distance })
	var texts []string
	for _, s := range close[:min(len(close), 3)] {
		texts = append(texts, s.text)
	}
	return texts
}

// distance is the optimal string alignment distance: how many insertions,
// deletions, replacements and swaps of neighbours make b out of a.
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
