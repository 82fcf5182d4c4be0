// Times runs go test with the arguments that it gets, prints what go test prints, and
// at the end the packages and the tests that took longest.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// listed is how many packages and tests are listed.
const listed = 10

func main() {
	code, err := run(os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "times:", err)
	}
	os.Exit(code)
}

func run(out io.Writer, args []string) (code int, err error) {
	began := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(out)
	err = r.read(stdout)
	var exit *exec.ExitError
	if waited := cmd.Wait(); errors.As(waited, &exit) {
		code = exit.ExitCode()
	} else if err = errors.Join(err, waited); err != nil {
		code = 1
	}
	r.summary(time.Since(began))
	if code != 0 {
		fmt.Fprintln(out, "FAIL")
	}
	return code, err
}

// event is a line of go test -json: see go doc test2json, and go help buildjson.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// name is a test of a package; of a package itself test is empty.
type name struct{ pkg, test string }

type report struct {
	out   io.Writer
	said  map[name][]string // what a test printed that has not ended
	times map[name]time.Duration
}

func newReport(out io.Writer) *report {
	return &report{out, make(map[name][]string), make(map[name]time.Duration)}
}

// read prints what go test prints without -v: all that packages say, and of tests
// what the failed ones said.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.take(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read output of go test: %w", err)
		}
	}
}

func (r *report) take(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(r.out, line)
		return
	}
	n := name{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		if e.Test != "" {
			r.said[n] = append(r.said[n], e.Output)
		} else if e.Output != "PASS\n" {
			fmt.Fprint(r.out, e.Output)
		}
	case "pass", "fail", "skip":
		if e.Action == "fail" {
			fmt.Fprint(r.out, strings.Join(r.said[n], ""))
		}
		delete(r.said, n)
		r.times[n] = time.Duration(e.Elapsed * float64(time.Second))
	}
	if e.Action == "fail" && e.Test == "" {
		r.unended(e.Package)
	}
}

// unended prints what tests of a failed package said that never ended: the process
// panicked or was killed in one of them.
func (r *report) unended(pkg string) {
	for n, said := range r.said {
		if n.pkg == pkg {
			fmt.Fprint(r.out, strings.Join(said, ""))
			delete(r.said, n)
		}
	}
}

// summary lists the packages and the top-level tests that took longest.
func (r *report) summary(total time.Duration) {
	fmt.Fprintf(r.out, "\n%d packages in %s\n", len(r.slowest(func(n name) bool { return n.test == "" }, len(r.times))), total.Round(time.Second))
	r.list("slowest packages", func(n name) bool { return n.test == "" })
	r.list("slowest tests", func(n name) bool { return n.test != "" && !strings.Contains(n.test, "/") })
}

func (r *report) list(title string, which func(name) bool) {
	fmt.Fprintln(r.out, title)
	for _, n := range r.slowest(which, listed) {
		fmt.Fprintf(r.out, "  %7.1f s  %s\n", r.times[n].Seconds(), strings.TrimSpace(n.pkg+" "+n.test))
	}
}

func (r *report) slowest(which func(name) bool, most int) []name {
	names := slices.Collect(func(yield func(name) bool) {
		for n := range maps.Keys(r.times) {
			if which(n) && !yield(n) {
				return
			}
		}
	})
	slices.SortFunc(names, func(a, b name) int {
		return cmp.Or(cmp.Compare(r.times[b], r.times[a]), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
	return names[:min(len(names), most)]
}
