package services

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// StartNginx starts an nginx that caches what a server, http://host:port, answers, as
// its headers allow, and returns its address. X-Cache in an answer says HIT for one of
// its own.
func StartNginx(t testing.TB, server string) (base string) {
	t.Helper()
	return startNginx(t, "", cachingLocation(server))
}

// StartBalancer starts an nginx that sends each request to the next of some servers,
// host:port, whoever asks, and returns its address.
func StartBalancer(t testing.TB, servers ...string) (base string) {
	t.Helper()
	var upstream strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&upstream, "server %s; ", s)
	}
	return startNginx(t, "upstream nodes { "+upstream.String()+"}", "proxy_pass http://nodes; proxy_http_version 1.1; proxy_set_header Host $http_host;")
}

// startNginx starts one with directives of its http block and of its one location.
func startNginx(t testing.TB, global, location string) (base string) {
	t.Helper()
	dir, address := t.TempDir(), "127.0.0.1:"+loopbackPort(t)
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;\nevents {}\nhttp {\n"+
		"  access_log off; proxy_cache_path %[1]s/cache keys_zone=z:10m; client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2;\n"+
		"  fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5;\n  %[3]s\n"+
		"  server { listen %[2]s; location / {\n    %[4]s\n  } }\n}\n", dir, address, global, location)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, "nginx", nginx(t), "-e", "stderr", "-c", file)
	d.run()
	d.await(func() error {
		resp, err := http.Get("http://" + address + "/")
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	return "http://" + address
}

// StartStubbornNginx is StartNginx that keeps every answer for a minute, also those that
// say that nothing may be kept. It obeys Vary alone.
func StartStubbornNginx(t testing.TB, server string) (base string) {
	t.Helper()
	return startNginx(t, "", cachingLocation(server)+" proxy_ignore_headers Cache-Control Expires; proxy_cache_valid any 1m;")
}

func cachingLocation(server string) string {
	return "proxy_pass " + server + "; proxy_http_version 1.1; proxy_cache z; add_header X-Cache $upstream_cache_status always;"
}

// nginx is where Debian puts it, which is not on every PATH.
func nginx(t testing.TB) string {
	t.Helper()
	const path = "/usr/sbin/nginx"
	if _, err := os.Stat(path); err != nil {
		return tool(t, "nginx")
	}
	return path
}
