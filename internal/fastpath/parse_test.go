package fastpath

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines joins the lines of a head, and ends it.
func lines(all ...string) string { return strings.Join(all, "\r\n") + "\r\n\r\n" }

// whole parses a head that must be complete.
func whole(t *testing.T, in string) (verdict, refusal, *head) {
	t.Helper()
	n, r := headEnd([]byte(in), 0)
	if r.status != 0 {
		return refused, r, nil
	}
	if n == 0 {
		t.Fatalf("%q is not a whole head", in)
	}
	h := new(head)
	v, r := parse([]byte(in)[:n], newFieldTable(), h)
	return v, r, h
}

func TestRequestsAreTakenApart(t *testing.T) {
	v, r, h := whole(t, lines(
		"GET /@v1/app.js?a=b?c HTTP/1.1", "HOST: shop.example:8080", "accept-encoding:\tgzip, br ", "Sec-Fetch-Mode: navigate", "If-None-Match: \"x\", W/\"y\"",
		"Referer: http://x/", "User-Agent: a b", "Cookie: x=\"y\"; z", "X-Empty:", "Connection: Keep-Alive",
	))
	if v != ours || r.status != 0 {
		t.Fatalf("verdict %d, %+v", v, r)
	}
	got := []string{h.Method, h.target, h.Path, h.Query, h.Host, h.AcceptEncoding, h.FetchMode, h.IfNoneMatch, h.referer, h.agent}
	want := []string{"GET", "/@v1/app.js?a=b?c", "/@v1/app.js", "a=b?c", "shop.example:8080", "gzip, br", "navigate", "\"x\", W/\"y\"", "http://x/", "a b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhoseARequestIs(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	many := strings.Repeat("A: b\r\n", maxFields)
	tests := []struct {
		name, in string
		want     verdict
		status   int
	}{
		{"plain", lines("GET / HTTP/1.1", "Host: a"), ours, 0},
		{"HEAD", lines("HEAD / HTTP/1.1", "Host: a"), ours, 0},
		{"closing", lines("GET / HTTP/1.1", "Host: a", "Connection: close"), ours, 0},
		{"empty host", lines("GET / HTTP/1.1", "Host:"), ours, 0},
		{"IPv6", lines("GET / HTTP/1.1", "Host: [::1]:80"), ours, 0},
		{"100 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + many[:len(many)-6] + "\r\n", ours, 0},

		{"other method", lines("POST / HTTP/1.1", "Host: a"), others, 0},
		{"unknown method", lines("BREW / HTTP/1.1", "Host: a"), others, 0},
		{"lower-case method", lines("get / HTTP/1.1", "Host: a"), others, 0},
		{"HTTP/1.0", lines("GET / HTTP/1.0", "Host: a"), others, 0},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", others, 0},
		{"absolute", lines("GET http://a/ HTTP/1.1", "Host: a"), others, 0},
		{"whole server", lines("OPTIONS * HTTP/1.1", "Host: a"), others, 0},
		{"length", lines("GET / HTTP/1.1", "Host: a", "Content-Length: 3"), others, 0},
		{"no length", lines("GET / HTTP/1.1", "Host: a", "Content-Length: 0"), others, 0},
		{"coding", lines("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"), others, 0},
		{"both", lines("GET / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "content-length: 3"), others, 0},
		{"expectation", lines("GET / HTTP/1.1", "Host: a", "Expect: 100-continue"), others, 0},
		{"upgrade", lines("GET / HTTP/1.1", "Host: a", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: x"), others, 0},
		{"odd connection", lines("GET / HTTP/1.1", "Host: a", "Connection: close, x"), others, 0},
		{"field twice", lines("GET / HTTP/1.1", "Host: a", "If-None-Match: \"a\"", "If-None-Match: \"b\""), others, 0},

		{"field twice, empty first", lines("GET / HTTP/1.1", "Host: a", "Range:", "Range: bytes=0-1"), others, 0},

		{"no host", lines("GET / HTTP/1.1"), refused, 400},
		{"two hosts", lines("GET / HTTP/1.1", "Host: a", "Host: a"), refused, 400},
		{"host with path", lines("GET / HTTP/1.1", "Host: a/b"), refused, 400},
		{"host with space", lines("GET / HTTP/1.1", "Host: a b"), refused, 400},
		{"host with user", lines("GET / HTTP/1.1", "Host: a@b"), refused, 400},
		{"bare LF", "GET / HTTP/1.1\nHost: a\n\n", refused, 400},
		{"bare LF in the header", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", refused, 400},
		{"bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", refused, 400},
		{"bare CR", lines("GET / HTTP/1.1", "Host: a", "X: a\rTransfer-Encoding: chunked"), refused, 400},
		{"NUL", lines("GET / HTTP/1.1", "Host: a", "X: a\x00b"), refused, 400},
		{"folded", lines("GET / HTTP/1.1", "Host: a", "X: a", " b"), refused, 400},
		{"folded first", lines("GET / HTTP/1.1", " Host: a"), refused, 400},
		{"space before colon", lines("GET / HTTP/1.1", "Host: a", "Transfer-Encoding : chunked"), refused, 400},
		{"tab before colon", lines("GET / HTTP/1.1", "Host: a", "Content-Length\t: 3"), refused, 400},
		{"no colon", lines("GET / HTTP/1.1", "Host: a", "X"), refused, 400},
		{"no name", lines("GET / HTTP/1.1", "Host: a", ": x"), refused, 400},
		{"odd name", lines("GET / HTTP/1.1", "Host: a", "X(y): x"), refused, 400},
		{"name of bytes", lines("GET / HTTP/1.1", "Host: a", "X\xe9: x"), refused, 400},
		{"no target", lines("GET HTTP/1.1", "Host: a"), refused, 400},
		{"empty target", lines("GET  HTTP/1.1", "Host: a"), refused, 400},
		{"two spaces", lines("GET  / HTTP/1.1", "Host: a"), refused, 400},
		{"space in target", lines("GET /a b HTTP/1.1", "Host: a"), refused, 505},
		{"tab in target", lines("GET /a\tb HTTP/1.1", "Host: a"), refused, 400},
		{"space at the end", lines("GET / HTTP/1.1 ", "Host: a"), refused, 505},
		{"no version", lines("GET /", "Host: a"), refused, 400},
		{"HTTP/1.2", lines("GET / HTTP/1.2", "Host: a"), refused, 505},
		{"HTTP/2.0", lines("GET / HTTP/2.0", "Host: a"), refused, 505},
		{"http/1.1", lines("GET / http/1.1", "Host: a"), refused, 505},
		{"empty line first", "\r\n" + lines("GET / HTTP/1.1", "Host: a"), refused, 400},
		{"long line", "GET /" + long + " HTTP/1.1\r\nHost: a\r\n\r\n", refused, 414},
		{"long header", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: "+long[:1000]+"\r\n", 40) + "\r\n", refused, 431},
		{"101 fields", "GET / HTTP/1.1\r\nHost: a\r\n" + many + "\r\n", refused, 431},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", refused, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, r, _ := whole(t, tt.in)
			if v != tt.want || r.status != tt.status {
				t.Errorf("verdict %d with %+v, want %d with status %d", v, r, tt.want, tt.status)
			}
		})
	}
}

// A head that is too long is refused before its end arrives.
func TestUnfinishedHeads(t *testing.T) {
	for in, status := range map[string]int{
		"": 0, "G": 0, "GET / HTTP/1.1\r": 0, "GET / HTTP/1.1\r\n": 0, "GET / HTTP/1.1\r\nHost: a\r\n\r": 0,
		"GET /" + strings.Repeat("x", maxLine):                 414,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("x", maxHead): 431,
		"GET / HTTP/1.1\n": 400,
	} {
		if n, r := headEnd([]byte(in), 0); n != 0 || r.status != status {
			t.Errorf("%.20q…: %d, %+v, want status %d", in, n, r, status)
		}
	}
}

// Whatever is accepted as a request is one for net/http as well, with the same meaning.
// Feeding a head piece by piece gives the same result.
func FuzzParse(f *testing.F) {
	f.Add(lines("GET /@v1/app.js?x HTTP/1.1", "Host: a", "Accept-Encoding: br", "If-None-Match: \"x\""))
	f.Add(lines("HEAD / HTTP/1.1", "Host: a:80", "X: \tb "))
	f.Add("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n")
	f.Add("GET / HTTP/1.1\nHost: a\r\n\r\n")
	fields := newFieldTable()
	f.Fuzz(func(t *testing.T, in string) {
		b := []byte(in)
		n, r := headEnd(b, 0)
		m, s := stepwise(b)
		if n > 0 && s.status == 0 && m != n || n == 0 && m > 0 && r.status == 0 {
			t.Fatalf("whole %d %+v, piece by piece %d %+v", n, r, m, s)
		}
		if n == 0 || r.status != 0 {
			return
		}
		var h head
		if v, _ := parse(b[:n], fields, &h); v != ours {
			return
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:n])))
		if err != nil {
			if strings.Contains(err.Error(), "invalid URL escape") || strings.Contains(err.Error(), "parse ") {
				return // of the path, which Decide refuses
			}
			t.Fatalf("%q is no request: %v", b[:n], err)
		}
		if req.ContentLength != 0 || len(req.TransferEncoding) > 0 || req.ProtoMinor != 1 || req.Close != h.close {
			t.Fatalf("%q means something else: %+v", b[:n], req)
		}
		got := []string{h.Method, h.target, h.Host}
		want := []string{req.Method, req.RequestURI, req.Host}
		for _, list := range fields {
			for _, field := range list {
				if field.In != nil {
					got = append(got, *field.In(&h.Request))
					want = append(want, strings.Join(req.Header.Values(field.Name), ", "))
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", b[:n], diff)
		}
	})
}

// stepwise finds the end of a head that arrives byte by byte.
func stepwise(b []byte) (n int, r refusal) {
	seen := 0
	for i := range b {
		if n, r = headEnd(b[:i+1], seen); n > 0 || r.status != 0 {
			return n, r
		}
		seen = searched(b[:i+1])
	}
	return 0, refusal{}
}

func BenchmarkParse(b *testing.B) {
	in := []byte(lines("GET /assets/app-DtbK3_aB.js HTTP/1.1", "Host: shop.example", "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
		"Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd", "Accept-Language: en", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Referer: https://shop.example/"))
	fields := newFieldTable()
	var h head
	b.ReportAllocs()
	for b.Loop() {
		n, _ := headEnd(in, 0)
		if v, _ := parse(in[:n], fields, &h); v != ours {
			b.Fatal(fmt.Sprint(v))
		}
	}
}
