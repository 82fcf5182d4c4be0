// Command holdfast publishes, activates and serves the releases of web
// applications. See the package holdfast for the words it uses.
package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(runAs(ctx, calledAs(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// calledAs is the command to call this program again: its name, if that finds it, else
// the path it was called by.
func calledAs() string {
	const name = "holdfast"
	self, err := os.Executable()
	if err != nil {
		return name
	}
	if found, err := exec.LookPath(name); err == nil && sameFile(found, self) {
		return name
	}
	return shellWord(os.Args[0])
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// run runs one command line and returns its exit code: 0 done, 1 failed, 2 wrong
// use. It ends early, in good order, when ctx does.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	return runAs(ctx, "holdfast", args, stdin, stdout, stderr, env)
}

func runAs(ctx context.Context, program string, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	c := &cli{ui: newUI(stdout, stderr, env), env: env, called: program}
	c.ui.wantsJSON = wantsJSON(args)
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return c.ui.finish(c.execute(ctx, root))
}

// wantsJSON looks for --json in a command line: it also counts where that cannot be
// parsed.
func wantsJSON(args []string) bool {
	if i := slices.Index(args, "--"); i >= 0 {
		args = args[:i]
	}
	return slices.ContainsFunc(args, func(arg string) bool {
		value, found := strings.CutPrefix(arg, "--json=")
		given, _ := strconv.ParseBool(value) // what is no boolean fails as a flag
		return found && given || arg == "--json"
	})
}
