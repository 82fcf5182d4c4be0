// Package soak says how long tests run that find the more the longer they run.
package soak

import "os"

// On reports whether the long runs are wanted: HOLDFAST_SOAK is set.
func On() bool { return os.Getenv("HOLDFAST_SOAK") != "" }

// Or returns how often to do something: long in a long run, otherwise usual.
func Or(long, usual int) int {
	if On() {
		return long
	}
	return usual
}

// Calls is Or for what takes too long under the race detector: a tenth of it is
// done there.
func Calls(long, usual int) int { return max(1, Or(long, usual)/thorough) }
