package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/holdfast-web/holdfast/asset"
)

// BenchmarkURL measures what a page pays for each URL, of a build of 1,000 files.
func BenchmarkURL(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 1000 {
		files[fmt.Sprintf("assets/part%d.js", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "export default %d", i)}
	}
	assets, err := asset.New(files, asset.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer assets.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := assets.URL("assets/part500.js"); err != nil {
			b.Fatal(err)
		}
	}
}

// caddy is the version that the handler is compared with.
const caddy = "v2.11.9"

// BenchmarkFileServers compares servers of the same files, in one run: the CPU time
// of the server's process for each request of one client that keeps its connection,
// over HTTP/1.1 on loopback, without encoded forms. Caddy takes part where it is in
// $PATH, or in $HOLDFAST_TOOLS:
//
//	GOBIN=$HOLDFAST_TOOLS go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9
func BenchmarkFileServers(b *testing.B) {
	dir := b.TempDir()
	for name, size := range map[string]int{"small.js": 4 << 10, "large.js": 256 << 10} {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte('a' + rand.N(26))
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	program := filepath.Join(b.TempDir(), "fileserver")
	if out, err := exec.Command("go", "build", "-o", program, "./fileserver").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	servers := []fileServer{
		{"asset", program, []string{"-kind", "asset", "-dir", dir, "-listen"}},
		{"FileServerFS", program, []string{"-kind", "std", "-dir", dir, "-listen"}},
	}
	if found, ok := findCaddy(b); ok {
		servers = append(servers, fileServer{"caddy", found, []string{"file-server", "--root", dir, "--listen"}})
	}
	for _, name := range []string{"small.js", "large.js"} {
		for _, cached := range []bool{false, true} {
			for _, s := range servers {
				b.Run(fmt.Sprintf("%s/unchanged=%t/%s", name, cached, s.name), func(b *testing.B) { s.measure(b, name, cached) })
			}
		}
	}
}

func findCaddy(b *testing.B) (path string, ok bool) {
	b.Helper()
	path = filepath.Join(os.Getenv("HOLDFAST_TOOLS"), "caddy")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("caddy"); err != nil {
			b.Logf("without Caddy, which is not installed; wanted is %s", caddy)
			return "", false
		}
	}
	if out, err := exec.Command(path, "version").Output(); err != nil || !bytes.HasPrefix(out, []byte(caddy)) {
		b.Logf("Caddy is not %s but %s (%v)", caddy, bytes.TrimSpace(out), err)
	}
	return path, true
}

// fileServer is a program that serves a directory; args end where the address is
// to follow.
type fileServer struct {
	name, program string
	args          []string
}

func (s fileServer) measure(b *testing.B, file string, unchanged bool) {
	listen := address(b)
	cmd := exec.Command(s.program, append(s.args[:len(s.args):len(s.args)], listen)...)
	cmd.Env = append(os.Environ(), "HOME="+b.TempDir())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	c := dial(b, listen)
	defer c.Close()
	request := "GET /" + file + " HTTP/1.1\r\nHost: " + listen + "\r\nUser-Agent: bench\r\nAccept: */*\r\n"
	first := c.ask(b, request+"\r\n")
	want := http.StatusOK
	if unchanged {
		want = http.StatusNotModified
		if tag := first.Header.Get("Etag"); tag != "" {
			request += "If-None-Match: " + tag + "\r\n"
		} else {
			request += "If-Modified-Since: " + first.Header.Get("Last-Modified") + "\r\n"
		}
	}
	for range 200 {
		c.ask(b, request+"\r\n")
	}
	before, n := cpuTime(b, cmd.Process.Pid), 0
	for b.Loop() {
		if resp := c.ask(b, request+"\r\n"); resp.StatusCode != want {
			b.Fatalf("%s, want %d", resp.Status, want)
		}
		n++
	}
	b.ReportMetric(float64((cpuTime(b, cmd.Process.Pid)-before).Nanoseconds())/float64(n), "server-ns/op")
}

type client struct {
	net.Conn
	r *bufio.Reader
}

// dial connects as soon as the server listens.
func dial(b *testing.B, address string) client {
	b.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return client{conn, bufio.NewReaderSize(conn, 64<<10)}
		}
	}
	b.Fatal("the server does not listen within a minute")
	return client{}
}

func (c client) ask(b *testing.B, request string) *http.Response {
	if _, err := io.WriteString(c, request); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		b.Fatal(err)
	}
	return resp
}

// cpuTime is what the threads of a process have used, by the scheduler's account
// (Documentation/scheduler/sched-stats.rst), which is in nanoseconds.
func cpuTime(b *testing.B, pid int) (total time.Duration) {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		b.Skipf("no account of CPU time on this system (%v)", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // the thread ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		total += time.Duration(ns)
	}
	return total
}
