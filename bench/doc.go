// Package bench holds what is measured on the whole program, as Go benchmarks:
//
//	go test -run '^$' -bench . ./bench
//
// Figures are of the machine they were taken on. Claims against other programs
// are ratios, taken side by side in one run.
package bench
