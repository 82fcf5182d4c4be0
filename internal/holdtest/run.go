package holdtest

import (
	"flag"
	"strconv"
	"testing"
)

// Waiting has n tests with t.Parallel run together, unless -parallel is given. The
// default, the number of cores, is for tests that compute; a TestMain calls Waiting
// before m.Run if tests of its package mostly wait for processes, leases and timers.
func Waiting(m *testing.M, n int) *testing.M {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		Check(flag.Set("test.parallel", strconv.Itoa(n)))
	}
	return m
}
