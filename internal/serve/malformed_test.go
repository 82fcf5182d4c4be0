package serve

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	hostLine = "Host: example.com\r\n"
	nextLine = "GET /robots.txt HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
)

func to(target string) string { return "GET " + target + " HTTP/1.1\r\n" + hostLine + "\r\n" }

func with(fields string) string { return "GET /app.js HTTP/1.1\r\n" + hostLine + fields + "\r\n" }

// malformed is a case: text, and the statuses of all answers.
type malformed struct {
	name, sent string
	want       []int
}

func malformedBodies() []malformed {
	return []malformed{
		{"nothing wrong", to("/app.js"), []int{200, 200}},
		{"an empty body", with("Content-Length: 0\r\n"), []int{200, 200}},
		{"a body", with("Content-Length: 4\r\n") + "body", []int{400}},
		{"a body that does not come", with("Content-Length: 1000000\r\n"), []int{400}},
		{"a body that waits", with("Content-Length: 4\r\nExpect: 100-continue\r\n"), []int{400}},
		{"a body for HEAD", "HEAD /app.js HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\n\r\nbody", []int{400}},
		{"a body for OPTIONS", "OPTIONS * HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\n\r\nbody", []int{400}},
		{"a body for POST", "POST /app.js HTTP/1.1\r\n" + hostLine + "Content-Length: 4\r\n\r\nbody", []int{405}},
		{"a chunked body", with("Transfer-Encoding: chunked\r\n") + "4\r\nbody\r\n0\r\n\r\n", []int{400}},
		{"an empty chunked body", with("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", []int{400}},
		{"two lengths of the body", with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", []int{400}},
		{"two lengths, reversed", with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + "0\r\n\r\n", []int{400}},
		{"an unknown encoding", with("Transfer-Encoding: gzip, chunked\r\n"), []int{501}},
		{"lengths that differ", with("Content-Length: 0\r\nContent-Length: 5\r\n"), []int{400}},
		{"a negative length", with("Content-Length: -1\r\n"), []int{400}},
		{"a signed length", with("Content-Length: +0\r\n"), []int{400}},
		{"a chunked body in HTTP/1.0", "GET /app.js HTTP/1.0\r\n" + hostLine + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{200}},
		{"HTTP/1.0 kept alive", "GET /app.js HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []int{200}},
	}
}

func malformedTargets() []malformed {
	return []malformed{
		{"an absolute target", "GET http://example.com/@old/app.js HTTP/1.1\r\n" + hostLine + "\r\n", []int{200, 200}},
		{"an absolute target without a path", "GET http://example.com HTTP/1.1\r\n" + hostLine + "\r\n", []int{200, 200}},
		{"an absolute target with a query", "GET http://example.com?dpl=nobody HTTP/1.1\r\n" + hostLine + "\r\n", []int{404, 200}},
		{"an absolute target with an empty segment", "GET http://example.com//app.js HTTP/1.1\r\n" + hostLine + "\r\n", []int{404, 200}},
		{"another scheme", "GET ftp://example.com/app.js HTTP/1.1\r\n" + hostLine + "\r\n", []int{200, 200}},
		{"a scheme in the path", to("/http://example.com/app.js"), []int{404, 200}},
		{"a scheme in the query", to("/app.js?u=http://example.com/"), []int{200, 200}},
		{"the server", "OPTIONS * HTTP/1.1\r\n" + hostLine + "\r\n", []int{204, 200}},
		{"a file by the name of the server", "GET * HTTP/1.1\r\n" + hostLine + "\r\n", []int{404, 200}},
		{"a tunnel", "CONNECT example.com:443 HTTP/1.1\r\n" + hostLine + "\r\n", []int{405, 200}},
		{"no absolute path", to("app.js"), []int{400}},
		{"another host", to("//evil.com/"), []int{404, 200}},
		{"another host, a directory", to("//evil.com/docs"), []int{404, 200}},
		{"another hostLine behind a backslash", to(`/\evil.com/docs`), []int{404, 200}},
		{"another host, encoded", to("/%2f/evil.com/docs"), []int{404, 200}},
		{"a directory", to("/docs"), []int{308, 200}},
		{"an encoded dot", to("/%2e%2e/%2e%2e/etc/passwd"), []int{404, 200}},
		{"dots", to("/../../etc/passwd"), []int{404, 200}},
		{"an encoded slash", to("/docs%2findex.html"), []int{404, 200}},
		{"an encoded NUL", to("/app.js%00.html"), []int{404, 200}},
		{"a NUL", to("/app.js\x00"), []int{400}},
		{"a long segment", to("/" + strings.Repeat("a", 300)), []int{404, 200}},
		{"a long path", to("/" + strings.Repeat("a/", 5000)), []int{404, 200}},
		{"overlong UTF-8", to("/%c0%ae%c0%ae/app.js"), []int{404, 200}},
		{"raw UTF-8", to("/ü%20x.js"), []int{200, 200}},
		{"raw bytes that are no UTF-8", to("/\xff\xfe"), []int{404, 200}},
		{"a bad escape", to("/%zz"), []int{400}},
		{"a space", to("/a b"), []int{400}},
		{"a fragment", to("/app.js#x"), []int{404, 200}},
	}
}

func malformedHeaders() []malformed {
	return []malformed{
		{"a huge header", with("X-Big: " + strings.Repeat("a", 1<<20) + "\r\n"), []int{431}},
		{"no host", "GET /app.js HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", with("Host: b\r\n"), []int{400}},
		{"a space before the colon", with("X-Deployment-Id : old\r\n"), []int{400}},
		{"a header without a name", with(": old\r\n"), []int{400}},
		{"many releases", with("X-Deployment-Id: old\r\nX-Deployment-Id: old\r\n"), []int{200, 200}},
		{"another version", "GET /app.js HTTP/3.0\r\n" + hostLine + "\r\n", []int{505}},
		{"no version", "GET /app.js\r\n\r\n", []int{400}},
		{"no request", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}},
	}
}

// TestMalformed sends requests that no client library would, in plain HTTP/1.x. A second
// request follows each in the same connection: if the first one is refused, or its end is
// ambiguous, the second must not be answered.
func TestMalformed(t *testing.T) {
	h := NewHandler(&keeper{table: table(t, "main", shop())}, &shelf{contents: objects(shop()), hot: true}, Options{})
	s := httptest.NewUnstartedServer(h)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.MaxHeaderBytes = 32 << 10
	s.Start()
	defer s.Close()
	for _, c := range slices.Concat(malformedBodies(), malformedTargets(), malformedHeaders()) {
		t.Run(c.name, func(t *testing.T) {
			got := conversation(t, s.Listener.Addr().String(), c.sent+nextLine)
			var statuses []int
			for _, a := range got {
				statuses = append(statuses, a.status)
				if l := a.header.Get("Location"); strings.HasPrefix(l, "//") || l != "" && l[0] != '/' {
					t.Errorf("sent to %q", l)
				}
			}
			if diff := cmp.Diff(c.want, statuses); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// conversation sends text and returns all answers until the server hangs up.
func conversation(t *testing.T, address, text string) []answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(conn, text) //nolint:errcheck // the server may hang up first; ends with the connection
	method, _, _ := strings.Cut(text, " ")
	var answers []answer
	for r := bufio.NewReader(conn); ; method = "GET" {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			if len(answers) == 0 {
				t.Fatalf("no answer: %v", err)
			}
			return answers
		}
		answers = append(answers, read(resp))
	}
}
