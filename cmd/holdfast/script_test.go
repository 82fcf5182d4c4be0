package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-web/holdfast/internal/registry"
)

var update = flag.Bool("update", false, "write golden files")

func TestMain(m *testing.M) {
	testFloor = "1s" // also of the programs that scripts run
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs the real program, in separate processes, like users.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"jsonkeys": jsonKeys,
			"nodes":    nodes,
			"get":      get,
			"remember": remember,
			"sparse":   sparse,
			"random":   random,
			"occupy":   occupy,
			"await":    await,
			"awaits":   awaits,
			"fulldisk": fullDisk,
			"silent":   silent,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// fullDisk mounts a file system of 64 KiB, which is full, at DIR.
func fullDisk(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"))
	ts.Defer(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		ts.Fatalf("filling the disk: %v", err)
	}
}

// silent NAME sets NAME to an address that accepts connections and never answers.
func silent(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() }) // the kernel accepts
	ts.Setenv(args[0], l.Addr().String())
}

// exits CODE COMMAND... runs a command that must end with that exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(interface{ ExitCode() int })
		if !ok {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("%v ended with exit code %d, want %s", args[1:], got, args[0])
	}
}

// jsonkeys FILE compares the keys of the JSON document that the last command
// printed with a list of them.
func jsonKeys(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: jsonkeys FILE")
	}
	var doc any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &doc); err != nil {
		ts.Fatalf("standard output is no JSON document: %v", err)
	}
	keys := make(map[string]bool)
	collectKeys(keys, "", doc)
	got := strings.Join(slices.Sorted(maps.Keys(keys)), "\n") + "\n"
	if want := ts.ReadFile(args[0]); got != want {
		ts.Fatalf("keys:\n%swant:\n%s", got, want)
	}
}

func collectKeys(keys map[string]bool, prefix string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			keys[prefix+key] = true
			collectKeys(keys, prefix+key+".", inner)
		}
	case []any:
		for _, inner := range v {
			collectKeys(keys, strings.TrimSuffix(prefix, ".")+"[].", inner)
		}
	}
}

// nodes COUNT waits until that many nodes are registered in ./holdfast-data, or in
// matches of the glob $DATA, and listen, and sets NODE1, NODE2, … to their addresses.
func nodes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nodes COUNT")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	data := ts.Getenv("DATA")
	if data == "" {
		data = "holdfast-data"
	}
	for {
		c := &cli{ui: newUI(io.Discard, io.Discard, noEnv), env: noEnv, global: globals{data: ts.MkAbs(data)}}
		if found, err := filepath.Glob(c.global.data); err == nil && len(found) == 1 {
			c.global.data = found[0]
		}
		var found []registry.NodeInfo
		var led bool
		err := c.with(ctx, existing, func(b *backends) (err error) {
			if found, err = b.registry.Nodes(ctx); err != nil {
				return err
			}
			_, led, err = b.registry.Leader(ctx)
			return err
		})
		if err == nil && len(found) == want && (led || want < 2) && listen(ctx, found) {
			for i, n := range found {
				ts.Setenv("NODE"+strconv.Itoa(i+1), n.Address)
			}
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%d nodes are registered, want %d: %v", len(found), want, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listen reports whether clients can connect to all nodes: they are registered before.
func listen(ctx context.Context, nodes []registry.NodeInfo) bool {
	for _, n := range nodes {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.Address)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was said on it
	}
	return true
}

func noEnv(string) (string, bool) { return "", false }

// get STATUS URL fetches a page and prints status, some fields and the body.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get STATUS URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[1], nil)
	ts.Check(err)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	for _, name := range []string{"Cache-Control", "X-Deployment-Id", "X-Holdfast-Node"} {
		fmt.Fprintf(ts.Stdout(), "%s: %s\n", name, resp.Header.Get(name))
	}
	fmt.Fprintf(ts.Stdout(), "%s", body)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("GET %s: %s, want %s\n%s", args[1], resp.Status, args[0], body)
	}
}

// remember NAME sets NAME to the last command's output.
func remember(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// sparse FILE BYTES makes a file of holes.
func sparse(ts *testscript.TestScript, neg bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(f.Truncate(size))
	ts.Check(f.Close())
}

// random FILE BYTES makes an incompressible file, always the same one.
func random(ts *testscript.TestScript, neg bool, args []string) {
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), noise(size), 0o600))
}

// await FILE REGEXP waits until a line of a file, which need not be there yet,
// matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	read := func() string {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			ts.Check(err)
		}
		return string(text)
	}
	untilMatch(ts, args[1], read)
}

// awaits stdout REGEXP COMMAND... runs a command until a line that it prints matches.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[0] != "stdout" {
		ts.Fatalf("usage: awaits stdout REGEXP COMMAND...")
	}
	untilMatch(ts, args[1], func() string {
		ts.Check(ts.Exec(args[2], args[3:]...))
		return ts.ReadFile("stdout")
	})
}

// untilMatch reads until a line matches, for 30 s at the most.
func untilMatch(ts *testscript.TestScript, pattern string, read func() string) {
	re := regexp.MustCompile("(?m)" + pattern)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text := read()
		if re.MatchString(text) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("nothing matches %s in\n%s", pattern, text)
		}
	}
}
