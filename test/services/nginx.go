package services

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// StartNginx starts an nginx that caches what a server, http://host:port, answers, as
// its headers allow, and returns its address. X-Cache in an answer says HIT for one of
// its own.
func StartNginx(t testing.TB, server string) (base string) {
	t.Helper()
	dir, address := t.TempDir(), "127.0.0.1:"+loopbackPort(t)
	config := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr warn;\nevents {}\nhttp {\n"+
		"  access_log off; proxy_cache_path %[1]s/cache keys_zone=z:10m; client_body_temp_path %[1]s/1; proxy_temp_path %[1]s/2;\n"+
		"  fastcgi_temp_path %[1]s/3; uwsgi_temp_path %[1]s/4; scgi_temp_path %[1]s/5;\n"+
		"  server { listen %[2]s; location / {\n"+
		"    proxy_pass %[3]s; proxy_http_version 1.1; proxy_cache z; add_header X-Cache $upstream_cache_status always;\n"+
		"  } }\n}\n", dir, address, server)
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

// nginx is where Debian puts it, which is not on every PATH.
func nginx(t testing.TB) string {
	t.Helper()
	const path = "/usr/sbin/nginx"
	if _, err := os.Stat(path); err != nil {
		return tool(t, "nginx")
	}
	return path
}
