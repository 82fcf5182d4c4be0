package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// world is what all servers serve.
type world struct {
	dir, root string // of everything; of the files
	cert, key string // PEM files of a certificate for localhost
	wrk       string // directory of wrk scripts
}

// The files. Those that are encoded in their own right have the bytes that Holdfast
// would make of text, and are asked for as they are, so that no server has to choose.
const (
	hot    = "/assets/app-DtbK3_aB.js"
	medium = "/assets/chart-Bq7Zk21x.woff2"
	large  = "/assets/video-Cw9Tn40y.mp4"
	absent = "/assets/gone.js"
	many   = 10_000
)

func newWorld(dir string) (*world, error) {
	w := &world{dir: dir, root: filepath.Join(dir, "site"), wrk: dir, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	random := rand.New(rand.NewPCG(1, 2))
	files := map[string]int{hot: 4 << 10, medium: 100 << 10, large: 10 << 20}
	for i := range many {
		files[manyPath(i)] = 1<<10 + random.IntN(6<<10)
	}
	for name, size := range files {
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		path := filepath.Join(w.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(filepath.Join(w.root, "index.html"), []byte("<!doctype html><title>x</title>"), 0o644); err != nil {
		return nil, err
	}
	script := fmt.Sprintf(`local n = 0
request = function()
  n = (n + 7919) %% %d
  return wrk.format("GET", string.format("/many/f%%05d-Ab3dEf66.woff2", n))
end
`, many)
	if err := os.WriteFile(filepath.Join(dir, "many.lua"), []byte(script), 0o644); err != nil {
		return nil, err
	}
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=localhost", "-keyout", w.key, "-out", w.cert).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w\n%s", err, out)
	}
	return w, nil
}

func manyPath(i int) string { return fmt.Sprintf("/many/f%05d-Ab3dEf66.woff2", i) }

// fields are what every server sends with a file, besides its own fields.
func fields() [][2]string {
	return [][2]string{
		{"Cache-Control", "public, max-age=31536000, immutable"},
		{"Vary", "Accept-Encoding"},
		{"X-Content-Type-Options", "nosniff"},
		{"Access-Control-Allow-Origin", "*"},
		{"Cross-Origin-Resource-Policy", "cross-origin"},
		{"Timing-Allow-Origin", "*"},
	}
}

// verify makes sure that s answers with the very files, and with the fields.
func (w *world) verify(ctx context.Context, s *server) error {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableCompression: true}}
	for _, base := range []string{s.clear(), s.secure()} {
		for _, name := range []string{hot, medium, large, manyPath(0), manyPath(many - 1)} {
			if err := w.verifyFile(ctx, client, base, name); err != nil {
				return err
			}
		}
		resp, _, err := fetch(ctx, client, base+absent, nil)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusNotFound {
			return fmt.Errorf("%s: status %d, want 404", absent, resp.StatusCode)
		}
	}
	return nil
}

func (w *world) verifyFile(ctx context.Context, client *http.Client, base, name string) error {
	want, err := os.ReadFile(filepath.Join(w.root, name))
	if err != nil {
		return err
	}
	resp, got, err := fetch(ctx, client, base+name, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK || sha256.Sum256(got) != sha256.Sum256(want) {
		return fmt.Errorf("%s: status %d and %d bytes that are not the file's %d", name, resp.StatusCode, len(got), len(want))
	}
	for _, f := range fields() {
		if value := resp.Header.Get(f[0]); !strings.Contains(value, f[1]) {
			return fmt.Errorf("%s: %s is %q, want %q", name, f[0], value, f[1])
		}
	}
	tag := resp.Header.Get("Etag")
	resp, _, err = fetch(ctx, client, base+name, http.Header{"If-None-Match": {tag}})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNotModified {
		return fmt.Errorf("%s with If-None-Match %s: status %d, want 304", name, tag, resp.StatusCode)
	}
	resp, part, err := fetch(ctx, client, base+name, http.Header{"Range": {"bytes=100-199"}})
	if err == nil && (resp.StatusCode != http.StatusPartialContent || !bytes.Equal(part, want[100:200])) {
		err = fmt.Errorf("%s: a range is wrong: status %d, %d bytes", name, resp.StatusCode, len(part))
	}
	return err
}

func fetch(ctx context.Context, client *http.Client, url string, header http.Header) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// cpu returns the CPU time charged to a process and its children that run, in clock
// ticks of 10 ms (proc(5)).
func cpu(pid int) (ticks int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	list := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	for _, i := range []int{11, 12} { // utime and stime
		n, err := strconv.ParseInt(list[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for child := range strings.FieldsSeq(string(children)) {
		id, err := strconv.Atoi(child)
		if err != nil {
			return 0, err
		}
		n, err := cpu(id)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return ticks, nil
}
