package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// server is one that runs, on a core of its own.
type server struct {
	name         string
	h2c          bool // speaks HTTP/2 in cleartext
	plain, tls   int  // ports
	cmd          *exec.Cmd
	log          bytes.Buffer
	args         []string
	env          []string
	config, text string  // a file that it reads, and its content
	also         *server // for cleartext, where a process has one listener
}

func (s *server) clear() string  { return fmt.Sprintf("http://localhost:%d", s.plain) }
func (s *server) secure() string { return fmt.Sprintf("https://localhost:%d", s.tls) }

// cpu returns the CPU time charged to the server so far, in clock ticks.
func (s *server) cpu() (int64, error) {
	ticks, err := cpu(s.cmd.Process.Pid)
	if err != nil || s.also == nil {
		return ticks, err
	}
	more, err := s.also.cpu()
	return ticks + more, err
}

func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // with its workers
		_ = s.cmd.Wait()                                      // says that it was killed
	}
	if s.also != nil {
		s.also.stop()
	}
}

// tag returns the entity tag of a file.
func (s *server) tag(path string) (string, error) {
	resp, err := http.Head(s.clear() + path) //nolint:noctx // a measurement
	if err != nil {
		return "", err
	}
	return resp.Header.Get("Etag"), resp.Body.Close()
}

// start starts all servers that are installed. What it started is returned with an
// error as well.
func start(ctx context.Context, w *world, holdfast string) ([]*server, error) {
	candidates := []*server{}
	ports, err := freePorts(12)
	if err != nil {
		return nil, err
	}
	own, err := w.holdfast(ctx, holdfast, ports[:4])
	if err != nil {
		return nil, err
	}
	candidates = append(candidates, own...)
	candidates = append(candidates, w.nginx(ports[4], ports[5]), w.lighttpd(ports[6], ports[7]), w.h2o(ports[8], ports[9]))
	var running []*server
	for _, s := range candidates {
		if _, err := exec.LookPath(s.args[0]); err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed; bench/install.sh brings it\n", s.name)
			continue
		}
		running = append(running, s)
		if err := s.begin(ctx); err != nil {
			return running, err
		}
	}
	return running, nil
}

func (s *server) begin(ctx context.Context) error {
	if s.also != nil {
		if err := s.also.begin(ctx); err != nil {
			return err
		}
	}
	if s.config != "" {
		if err := os.WriteFile(s.config, []byte(s.text), 0o644); err != nil {
			return err
		}
	}
	s.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", "0"}, s.args...)...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	at := s.secure() + hot
	if s.tls == 0 {
		at = s.clear() + hot
	}
	err := errors.New("not asked")
	for range 300 {
		var resp *http.Response
		if resp, err = client.Get(at); err == nil { //nolint:noctx // bounded by the client
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s does not answer: %w\n%s", s.name, err, s.log.String())
}

func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// holdfast publishes the site, and returns the nodes with either shell. A node speaks
// TLS or cleartext, so there are two of each; the one in cleartext is measured where
// the cell is.
func (w *world) holdfast(ctx context.Context, program string, ports []int) ([]*server, error) {
	program, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(w.dir, "data")
	out, err := exec.CommandContext(ctx, program, "--data", data, "publish", w.root, "--release", "v1", "--activate", "--effort", "fast").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("publish: %w\n%s", err, out)
	}
	for _, setting := range []string{"immutable=**", "deltas=off"} {
		if out, err := exec.CommandContext(ctx, program, "--data", data, "app", "set", "default", setting).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("app set: %w\n%s", err, out)
		}
	}
	node := func(name, shell string, plain, secure int) *server {
		serve := func(port int, more ...string) []string {
			return append([]string{program, "--data", data, "serve", "--http", shell, "--listen", fmt.Sprintf("127.0.0.1:%d", port), "--admin", "off", "--deltas", "off"}, more...)
		}
		clear := &server{name: name, plain: plain, args: serve(plain), env: []string{"GOMAXPROCS=1"}}
		return &server{
			name: name, h2c: true, plain: plain, tls: secure, also: clear, env: []string{"GOMAXPROCS=1"},
			args: serve(secure, "--tls-cert", w.cert, "--tls-key", w.key),
		}
	}
	return []*server{node("Holdfast", "fast", ports[0], ports[1]), node("Holdfast, net/http", "standard", ports[2], ports[3])}, nil
}

func (w *world) nginx(plain, secure int) *server {
	var headers strings.Builder
	for _, f := range fields() {
		fmt.Fprintf(&headers, "add_header %s %q;\n", f[0], f[1])
	}
	conf := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/nginx.pid; error_log %[1]s/nginx.err;
events { worker_connections 4096; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; open_file_cache max=20000; types { text/javascript js; font/woff2 woff2; video/mp4 mp4; }
client_body_temp_path %[1]s/nt; proxy_temp_path %[1]s/nt; fastcgi_temp_path %[1]s/nt; uwsgi_temp_path %[1]s/nt; scgi_temp_path %[1]s/nt;
%[2]s
server { listen 127.0.0.1:%[3]d; root %[4]s; }
server { listen 127.0.0.1:%[5]d ssl http2; root %[4]s; ssl_certificate %[6]s; ssl_certificate_key %[7]s; } }
`, w.dir, headers.String(), plain, w.root, secure, w.cert, w.key)
	config := filepath.Join(w.dir, "nginx.conf")
	return &server{name: "nginx", plain: plain, tls: secure, config: config, text: conf, args: []string{"nginx", "-c", config, "-p", w.dir}}
}

func (w *world) lighttpd(plain, secure int) *server {
	var headers []string
	for _, f := range fields() {
		headers = append(headers, fmt.Sprintf("%q => %q", f[0], f[1]))
	}
	conf := fmt.Sprintf(`server.modules = ( "mod_setenv", "mod_openssl" )
server.document-root = %q
server.bind = "127.0.0.1"
server.port = %d
server.max-keep-alive-requests = 100000000
server.feature-flags = ( "server.h2proto" => "enable", "server.h2c" => "enable" )
mimetype.assign = ( ".js" => "text/javascript", ".woff2" => "font/woff2", ".mp4" => "video/mp4", ".html" => "text/html" )
setenv.set-response-header = ( %s )
ssl.pemfile = %q
ssl.privkey = %q
$SERVER["socket"] == "127.0.0.1:%d" { ssl.engine = "enable" }
`, w.root, plain, strings.Join(headers, ", "), w.cert, w.key, secure)
	config := filepath.Join(w.dir, "lighttpd.conf")
	return &server{name: "lighttpd", h2c: true, plain: plain, tls: secure, config: config, text: conf, args: []string{"lighttpd", "-D", "-f", config}}
}

func (w *world) h2o(plain, secure int) *server {
	var headers strings.Builder
	for _, f := range fields() {
		fmt.Fprintf(&headers, "header.set: %q\n", f[0]+": "+f[1]) // version 2.2 takes one at a time
	}
	conf := fmt.Sprintf(`num-threads: 1
user: %s
http2-idle-timeout: 60
%s
hosts:
  default:
    listen: {host: 127.0.0.1, port: %d}
    listen: {host: 127.0.0.1, port: %d, ssl: {certificate-file: %q, key-file: %q}}
    paths:
      /: {file.dir: %q}
`, "root", strings.TrimRight(headers.String(), "\n"), plain, secure, w.cert, w.key, w.root)
	config := filepath.Join(w.dir, "h2o.conf")
	return &server{name: "h2o", h2c: true, plain: plain, tls: secure, config: config, text: conf, args: []string{"h2o", "-c", config}}
}
