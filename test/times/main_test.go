package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	in := `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"--- PASS: TestOne (1.50s)\n"}
{"Action":"pass","Package":"m/a","Test":"TestOne","Elapsed":1.5}
{"Action":"output","Package":"m/a","Test":"TestTwo/sub","Output":"    a_test.go:9: wrong\n"}
{"Action":"fail","Package":"m/a","Test":"TestTwo/sub","Elapsed":0.25}
{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"--- FAIL: TestTwo (2.00s)\n"}
{"Action":"fail","Package":"m/a","Test":"TestTwo","Elapsed":2}
{"Action":"output","Package":"m/a","Test":"TestThree","Output":"panic: here\n"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t3.60s\n"}
{"Action":"fail","Package":"m/a","Elapsed":3.6}
{"Action":"output","Package":"m/b","Output":"PASS\n"}
{"Action":"output","Package":"m/b","Output":"ok  \tm/b\t0.50s\n"}
{"Action":"pass","Package":"m/b","Elapsed":0.5}
{"ImportPath":"m/c","Action":"build-output","Output":"c.go:1:1: syntax error\n"}
# not JSON
`
	const want = `    a_test.go:9: wrong
--- FAIL: TestTwo (2.00s)
FAIL	m/a	3.60s
panic: here
ok  	m/b	0.50s
c.go:1:1: syntax error
# not JSON

2 packages in 1m10s
slowest packages
      3.6 s  m/a
      0.5 s  m/b
slowest tests
      2.0 s  m/a TestTwo
      1.5 s  m/a TestOne
`
	var out strings.Builder
	r := newReport(&out)
	if err := r.read(strings.NewReader(in)); err != nil {
		t.Fatal(err)
	}
	r.summary(70 * time.Second)
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestExitCode: the code is that of go test, and FAIL is the last line of a failure.
func TestExitCode(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module m\n",
		"a_test.go": "package m\nimport \"testing\"\nfunc TestGood(*testing.T) {}\nfunc TestBad(t *testing.T) { t.Error(\"so it is\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for test, want := range map[string]int{"TestGood": 0, "TestBad": 1} {
		var out strings.Builder
		code, err := run(&out, []string{"-run", test, "."})
		if code != want || err != nil || strings.HasSuffix(out.String(), "\nFAIL\n") != (want == 1) || strings.Contains(out.String(), "so it is") != (want == 1) {
			t.Errorf("%s: exit code %d (%v):\n%s", test, code, err, out.String())
		}
	}
}
