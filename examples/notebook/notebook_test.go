package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// within bounds every wait for something that must happen.
const within = time.Minute

// process is a node that runs.
type process struct {
	base, data string
	cmd        *exec.Cmd
	log        strings.Builder
}

func start(t *testing.T, program, registry, name string) *process {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p := &process{base: "http://" + address, data: t.TempDir()}
	p.cmd = exec.CommandContext(t.Context(), program, "-name", name, "-listen", address, "-data", p.data, "-registry", registry)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be dead
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", name, p.log.String())
		}
	})
	return p
}

func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close() //nolint:errcheck // was only read
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// holds reports whether a node's own store has a file.
func (p *process) holds(text string) bool {
	sum := sha256.Sum256([]byte(text))
	found, err := filepath.Glob(filepath.Join(p.data, "store", "objects", "*", hex.EncodeToString(sum[:])+"*"))
	return err == nil && len(found) > 0
}

var script = regexp.MustCompile(`src="(/@[^"/]+/)main-Ab3dEf9h.js"`)

// TestNotebook: widgets that one node unpacks load from the others, two widgets with the
// same file names do not disturb each other, and both outlive the node that unpacked one.
func TestNotebook(t *testing.T) {
	program := filepath.Join(t.TempDir(), "notebook")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	registry := filepath.Join(t.TempDir(), "notebook.db")
	var nodes []*process
	for _, name := range []string{"n1", "n2", "n3"} {
		p := start(t, program, registry, name)
		eventually(t, name+" answers", func() bool { code, _ := p.get(t, "/app.js"); return code == http.StatusOK })
		nodes = append(nodes, p)
	}
	open := func(p *process, widget string) string {
		t.Helper()
		code, body := p.get(t, "/notebook/"+widget)
		found := script.FindStringSubmatch(body)
		if code != http.StatusOK || found == nil {
			t.Fatalf("%d %s", code, body)
		}
		return found[1]
	}
	read := func(name string) string {
		text, err := os.ReadFile(name) //nolint:gosec // of the test
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	widgets := map[string]string{"chart": open(nodes[0], "chart"), "table": open(nodes[1], "table")}
	all := func(of ...*process) {
		t.Helper()
		for widget, base := range widgets {
			for _, file := range []string{"main-Ab3dEf9h.js", "draw-Kq8zLm2x.js"} {
				for _, p := range of {
					want, code, body := read(filepath.Join("widgets", widget, file)), 0, ""
					eventually(t, p.base+base+file, func() bool { code, body = p.get(t, base+file); return code == http.StatusOK })
					if body != want {
						t.Errorf("%s%s%s: %q", p.base, base, file, body)
					}
				}
			}
		}
	}
	all(nodes...)
	draw := read("widgets/chart/draw-Kq8zLm2x.js")
	eventually(t, "the chart is copied", func() bool { return nodes[1].holds(draw) && nodes[2].holds(draw) })
	if err := nodes[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(nodes[0].data); err != nil {
		t.Log(err) // it may still be dying
	}
	all(nodes[1:]...)
	if again := open(nodes[2], "chart"); again == widgets["chart"] {
		t.Error("widgets of different nodes have one URL")
	}
}
