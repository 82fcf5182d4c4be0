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

// BenchmarkFileServers compares servers of the same files: the CPU time of each
// server's process for one request of a client that keeps its connection, over
// HTTP/1.1 on loopback, without encoded forms. All servers run at the same time and
// are asked in turn, so that what else the machine does hits all of them. An
// operation is one request to each. Caddy takes part where it is in $HOLDFAST_TOOLS,
// where "make bench" puts it, or in $PATH.
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
			b.Run(fmt.Sprintf("%s/unchanged=%t", name, cached), func(b *testing.B) { compare(b, servers, name, cached) })
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

// compare asks all servers in turn for a file, or whether it is unchanged.
func compare(b *testing.B, servers []fileServer, file string, unchanged bool) {
	var all []*running
	for _, s := range servers {
		all = append(all, s.start(b, file, unchanged))
	}
	ask := func() {
		for _, r := range all {
			if resp := r.client.ask(b, r.request); resp.StatusCode != r.want {
				b.Fatalf("%s: %s, want %d", r.name, resp.Status, r.want)
			}
		}
	}
	for range 200 {
		ask()
	}
	before := make([]time.Duration, len(all))
	for i, r := range all {
		before[i] = cpuTime(b, r.pid)
	}
	n := 0
	for b.Loop() {
		ask()
		n++
	}
	for i, r := range all {
		b.ReportMetric(float64((cpuTime(b, r.pid)-before[i]).Nanoseconds())/float64(n), r.name+"-ns/op")
	}
}

// running is a server that was started, and what it is asked.
type running struct {
	fileServer
	pid     int
	client  client
	request string
	want    int
}

// start starts a server, which ends with the benchmark.
func (s fileServer) start(b *testing.B, file string, unchanged bool) *running {
	b.Helper()
	listen := address(b)
	cmd := exec.Command(s.program, append(s.args[:len(s.args):len(s.args)], listen)...)
	cmd.Env = append(os.Environ(), "HOME="+b.TempDir())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	r := &running{fileServer: s, pid: cmd.Process.Pid, client: dial(b, listen), want: http.StatusOK}
	b.Cleanup(func() { _ = r.client.Close() })
	head := "GET /" + file + " HTTP/1.1\r\nHost: " + listen + "\r\nUser-Agent: bench\r\nAccept: */*\r\n"
	r.request = head + "\r\n"
	if !unchanged {
		return r
	}
	first := r.client.ask(b, r.request)
	condition := "If-Modified-Since: " + first.Header.Get("Last-Modified")
	if tag := first.Header.Get("Etag"); tag != "" {
		condition = "If-None-Match: " + tag
	}
	r.request, r.want = head+condition+"\r\n\r\n", http.StatusNotModified
	return r
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
