package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wire is a request as it goes over a connection.
type wire struct {
	method, target string
	host           string   // "example.com" if empty
	fields         []string // pairs of name and value
	body           string
}

type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

type transport struct {
	name string
	do   func(*testing.T, wire) (answer, error)
}

// transports serves h over every protocol, as a node does, until the test ends.
func transports(t *testing.T, h http.Handler) []transport {
	clear, secure := httptest.NewUnstartedServer(h), httptest.NewUnstartedServer(h)
	for _, s := range []*httptest.Server{clear, secure} {
		s.Config.DisableGeneralOptionsHandler = true
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetHTTP1(true)
		s.Config.Protocols.SetHTTP2(true)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Config.ErrorLog = nil
	}
	clear.Start()
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(clear.Close)
	t.Cleanup(secure.Close)
	client := func(s *httptest.Server, scheme string, enable func(*http.Protocols)) func(*testing.T, wire) (answer, error) {
		return clientTo(t, s.Listener.Addr().String(), scheme, enable)
	}
	address := clear.Listener.Addr().String()
	return []transport{
		{"HTTP/1.1", func(t *testing.T, w wire) (answer, error) { return w.raw(t, address) }},
		{"HTTP/1.1, absolute", client(clear, "http", func(p *http.Protocols) { p.SetHTTP1(true) })},
		{"HTTP/2 in the clear", client(clear, "http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
		{"HTTP/1.1 over TLS", client(secure, "https", func(p *http.Protocols) { p.SetHTTP1(true) })},
		{"HTTP/2 over TLS", client(secure, "https", func(p *http.Protocols) { p.SetHTTP2(true) })},
	}
}

// clientTo sends requests to address by a client that speaks one protocol.
func clientTo(t *testing.T, address, scheme string, enable func(*http.Protocols)) func(*testing.T, wire) (answer, error) {
	p := new(http.Protocols)
	enable(p)
	tr := &http.Transport{
		DisableCompression: true, Protocols: p, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return func(_ *testing.T, w wire) (answer, error) { return w.through(tr, scheme) }
}

func (w wire) hostOr() string {
	if w.host == "" {
		return "example.com"
	}
	return w.host
}

// through sends the request by a client that leaves the target as it is.
func (w wire) through(tr *http.Transport, scheme string) (answer, error) {
	path, query, _ := strings.Cut(w.target, "?")
	r := &http.Request{
		Method: w.method, Host: w.hostOr(), Header: http.Header{"User-Agent": {""}},
		URL: &url.URL{Scheme: scheme, Host: w.hostOr(), Opaque: "//" + w.hostOr() + path, RawQuery: query},
	}
	for i := 0; i < len(w.fields); i += 2 {
		r.Header.Add(w.fields[i], w.fields[i+1])
	}
	if w.body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(w.body)), int64(len(w.body))
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return answer{}, err
	}
	return read(resp), nil
}

// raw sends the request as plain text.
func (w wire) raw(t *testing.T, address string) (answer, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", w.method, w.target, w.hostOr())
	for i := 0; i < len(w.fields); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", w.fields[i], w.fields[i+1])
	}
	if w.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(w.body))
	}
	if _, err := io.WriteString(conn, b.String()+"\r\n"+w.body); err != nil {
		return answer{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: w.method})
	if err != nil {
		return answer{}, err
	}
	return read(resp), nil
}

func read(resp *http.Response) answer {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

func diffHeader(want, got http.Header) string { return cmp.Diff(want, got) }

func diffValues(want, got any) string { return cmp.Diff(want, got) }

// wireRequests are requests of every kind that Decide tells apart.
func wireRequests() []wire {
	var list []wire
	for _, target := range []string{
		"/", "/app.js", "/@old/app.js", "/@old", "/@old/", "/@next/", "/@next/soon", "/@dead/x.js", "/@tomb/", "/@nobody/x.js",
		"/app.js?dpl=old", "/app.js?dpl=old&dpl=old", "/app.js?x=%20&dpl=next", "/" + hashed, "/" + clashed, "/docs", "/docs?a=//b", "/docs/",
		"/about", "/no/page", "/nothing.js", "/nothing-Ab3dEf66.js", "/@live/empty.js", "/robots.txt", "/404.html", "/%C3%BC%20x.js",
		"/~" + hexOf("old app")[:16] + "/app.js", "/@old/~" + hexOf("old app")[:8] + "/app.js", "/%2e%2e/app.js", "/docs%2findex.html",
		"//evil.com/", "//docs", "/app.js%00", "/%c0%ae", "/./app.js", "/docs/../app.js", "/" + strings.Repeat("x", 300), "/long.js", "/app.js.map",
		"/~client.js", "/@old/~client.js", "/~client.js?dpl=dead", "/" + hashed + "?dpl=nobody", "/" + hashed + "?dpl=", "/@old/_app/version.json", "/sw.js?dpl=old",
	} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST"} {
			list = append(list, wire{method: method, target: target})
		}
		list = append(list,
			wire{method: "GET", target: target, fields: []string{"Accept-Encoding", "gzip, br", "Range", "bytes=1-2", "Sec-Fetch-Mode", "navigate"}},
			wire{method: "GET", target: target, fields: []string{"X-Deployment-Id", "old", "If-None-Match", `W/"x"`, "If-None-Match", "*"}},
			wire{method: "GET", target: target, fields: []string{"If-Match", `"x"`, "Accept-Encoding", "zstd", "Range", "bytes=-0"}},
			wire{method: "GET", target: target, fields: []string{"Range", "bytes=999999-", "Accept", "text/html", "If-Modified-Since", "Sun, 01 Mar 2026 12:00:07 GMT"}},
			wire{method: "GET", target: target, body: "a body"},
			wire{method: "GET", target: target, host: "EXAMPLE.com:8080"},
		)
	}
	return append(list, wire{method: "HEAD", target: "/app.js", fields: []string{"Range", "bytes=0-1"}}, wire{method: "DELETE", target: "/"}, wire{method: "PUT", target: "/app.js", body: "x"})
}

// request is the expected result of requestOf.
func (w wire) request() *Request {
	h := http.Header{}
	for i := 0; i < len(w.fields); i += 2 {
		h.Add(w.fields[i], w.fields[i+1])
	}
	join := func(name string) string { return strings.Join(h.Values(name), ", ") }
	path, query, _ := strings.Cut(w.target, "?")
	return &Request{
		Method: w.method, Host: w.hostOr(), Path: path, Query: query, HasBody: w.body != "", Waited: true,
		Accept: join("Accept"), AcceptEncoding: join("Accept-Encoding"), DeploymentID: join("X-Deployment-Id"), FetchDest: join("Sec-Fetch-Dest"), FetchMode: join("Sec-Fetch-Mode"),
		IfMatch: join("If-Match"), IfModifiedSince: join("If-Modified-Since"), IfNoneMatch: join("If-None-Match"), IfRange: join("If-Range"),
		IfUnmodifiedSince: join("If-Unmodified-Since"), Range: join("Range"),
	}
}

// TestAllTransportsAnswerAlike compares status, header and body of every kind of answer
// with Decide's, over every protocol, from memory and not.
func TestAllTransportsAnswerAlike(t *testing.T) {
	answerAlike(t, func(t *testing.T, h *Handler) []transport { return transports(t, h) })
}

func answerAlike(t *testing.T, over func(*testing.T, *Handler) []transport) {
	s := notices()
	s.releases[3].files["long.js"] = long
	tab, contents := table(t, "main", s), objects(s)
	for _, hot := range []bool{true, false} {
		h := NewHandler(&keeper{table: tab}, &shelf{contents: contents, hot: hot}, Options{})
		for _, transport := range over(t, h) {
			t.Run(fmt.Sprintf("%s, hot %v", transport.name, hot), func(t *testing.T) {
				for _, w := range wireRequests() {
					var d Decision
					Decide(tab, w.request(), &d)
					want := answer{status: d.Status, header: http.Header{}, body: d.Text}
					h.writeHeader(want.header, &d, hot)
					if d.Length > 0 {
						want.body = contents[d.Ref.Name][d.Off : d.Off+d.Length]
					}
					got, err := transport.do(t, w)
					if err != nil {
						t.Fatalf("%+v: %v", w, err)
					}
					want.header.Del("Connection")
					got.header.Del("Connection")
					if got.header.Get("Date") == "" {
						t.Errorf("%+v: no date", w)
					}
					got.header.Del("Date")
					if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
						t.Errorf("%+v: %s", w, diff)
					}
				}
			})
		}
	}
}
