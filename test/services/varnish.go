package services

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// StartStubbornVarnish starts a Varnish that keeps every answer of a server,
// http://host:port, for a minute, also those that say that nothing may be kept, and returns
// its address. It obeys Vary alone. X-Cache in an answer says HIT for one of its own.
func StartStubbornVarnish(t testing.TB, server string) (base string) {
	t.Helper()
	const path = "/usr/sbin/varnishd" // which is not on every PATH
	if _, err := os.Stat(path); err != nil {
		tool(t, "varnishd")
	}
	dir, address := t.TempDir(), "127.0.0.1:"+loopbackPort(t)
	host, port, _ := strings.Cut(strings.TrimPrefix(server, "http://"), ":")
	vcl := fmt.Sprintf("vcl 4.1;\nbackend default { .host = %q; .port = %q; }\n"+
		"sub vcl_backend_response { set beresp.ttl = 60s; set beresp.uncacheable = false; return (deliver); }\n"+
		"sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Cache = \"HIT\"; } }\n", host, port)
	file := filepath.Join(dir, "test.vcl")
	if err := os.WriteFile(file, []byte(vcl), 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, "varnish", path, "-F", "-j", "none", "-T", "none", "-n", filepath.Join(dir, "work"), "-a", address, "-f", file, "-s", "malloc,16m")
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
