package cluster

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestRollingExample runs the rolling update as its README says, and until Ctrl-C.
// Its own verdict decides; here is looked at what it counted.
func TestRollingExample(t *testing.T) {
	run := func() *example {
		return runExample(t, "../../examples/rolling/run.sh", fmt.Sprintf("ROLLING_PORT=%d", freeRange(t, 10)))
	}
	e := run()
	if err := e.wait(); err != nil {
		t.Fatalf("%v\n%s", err, e.out)
	}
	e.expectClean()
	t.Log(e.out)
	parts := strings.Split(e.out.String(), "\n\n")
	if len(parts) != 5 {
		t.Fatalf("want the build and four parts:\n%s", e.out)
	}
	const counted = `[1-9]\d*`
	for i, wants := range [][]string{
		{
			`version 1 everywhere +4 +4 +0 +0 +` + counted + ` +0\n`,
			`process 1: version 1 to 2 +.* +0\n`, `process 3: version 1 to 2 +.* +0\n`,
			`process 1: version 2 to 1 +.* +0\n`, `process 3: version 2 to 1 +.* +0\n`,
			`total +` + counted + ` +` + counted + ` +72 +72 +` + counted + ` +0\n`,
			`failed requests 0: 0 without .*, 0 with a status .*, 0 with wrong bytes .*\n`,
			`nginx: ` + counted + ` requests, to the processes ` + counted + `, ` + counted + `, ` + counted + `; 0 with a status of 400 or more`,
			`release .*: brought by process1, process2 and process3, in the store\n`, `release .*: brought by no running node, in the store`,
		},
		{`failed requests ` + counted + `:`, `nginx: .*; ` + counted + ` with a status of 400 or more`},
		{`process 1 +4 +4 +\d+ +` + counted, `process 2 +4 +4 +\d+ +0 +\d+\n`, `process 3 +4 +4 +\d+ +0 +\d+\n`, `nginx: \d+ requests, to the processes \d\d, 4, 4; 0 with`},
		{`process 2 +4 +4 +\d+ +` + counted + ` +\d+\n`, `process 3 +4 +4 +\d+ +` + counted + ` +\d+\n`},
	} {
		for _, want := range wants {
			if !regexp.MustCompile(want).MatchString(parts[i+1]) {
				t.Errorf("want part %d to match %s:\n%s", i+1, want, parts[i+1])
			}
		}
	}
	run().interrupt("version 1 everywhere", 8)
}
