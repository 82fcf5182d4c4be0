package restart

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/test/program"
)

// recipe returns a block of docs/serve.md in a language, with replacements made; each must
// be of something that is there.
func recipe(t *testing.T, language string, replace ...string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```"+language+"\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatalf("docs/serve.md has no recipe in %s", language)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(block, replace[i]) {
			t.Fatalf("the recipe says nothing of %q", replace[i])
		}
		block = strings.ReplaceAll(block, replace[i], replace[i+1])
	}
	return block
}

// upstream is what the recipe says of where the nodes are.
func upstream(text string) string {
	end := strings.Index(text, "\n}\n")
	return text[:end+3]
}

// TestBehindNginx: two nodes that are restarted one after the other, each within seconds
// of the other, fail no request of a visitor of nginx with the recipe of the docs.
func TestBehindNginx(t *testing.T) {
	m := site(t)
	nodes := []*program.Node{m.Serve(), m.Serve()}
	address, dir := program.FreeAddress(t), t.TempDir()
	text := recipe(t, "nginx", "127.0.0.1:8080 ", host(nodes[0])+" ", "# server 10.0.0.8:8080 ", "server "+host(nodes[1])+" ")
	location := text[strings.Index(text, "    location / {"):]
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;\nevents {}\nhttp {\n"+
		"access_log off; client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2; fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5;\n"+
		"%s\nserver { listen %s;\n%s\n}\n", dir, upstream(text), address, location)
	behind(t, nodes, address, dir, config, "/usr/sbin/nginx", "-e", "stderr", "-c")
}

// TestBehindHAProxy: the same with HAProxy.
func TestBehindHAProxy(t *testing.T) {
	m := site(t)
	nodes := []*program.Node{m.Serve(), m.Serve()}
	address, dir := program.FreeAddress(t), t.TempDir()
	text := recipe(t, "haproxy", " port 8081", "",
		"10.0.0.7:8080", host(nodes[0])+" port "+adminPort(t, nodes[0]), "10.0.0.8:8080", host(nodes[1])+" port "+adminPort(t, nodes[1]))
	config := "defaults\n    mode http\n    timeout connect 2s\n    timeout client 20s\n    timeout server 20s\n" +
		"frontend f\n    bind " + address + "\n    default_backend holdfast\n" + text
	behind(t, nodes, address, dir, config, "/usr/sbin/haproxy", "-db", "-f")
}

func host(n *program.Node) string { return strings.TrimPrefix(n.Base, "http://") }

func adminPort(t *testing.T, n *program.Node) string {
	t.Helper()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(n.Admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// behind restarts the nodes in turn, behind a proxy with the configuration.
func behind(t *testing.T, nodes []*program.Node, address, dir, config, proxy string, args ...string) {
	t.Helper()
	file := filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := program.Launch(t, exec.Command(proxy, append(args, file)...))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s\n%s", config, p.Log.String())
		}
		p.Kill()
	})
	url := "http://" + address + "/"
	program.WaitFor(t, "proxy answers", func() bool {
		resp, err := http.Get(url)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, p.Log.String)
	l := startLoad(t, url)
	for i := range restarts {
		n := nodes[i%len(nodes)]
		n.Stop()
		n.Restart()
		n.AwaitReady()
		l.more(200)
	}
	l.expectNone()
}
