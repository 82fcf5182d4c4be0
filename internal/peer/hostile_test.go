package peer_test

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// raw is a peer that writes exactly what a test says, without HTTP handling.
func raw(t *testing.T, answer func(c net.Conn)) (address string) {
	t.Helper()
	l := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		answers := make(chan struct{})
		n := 0
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, c)
			n++
			go func() {
				defer func() { answers <- struct{}{} }()
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					answer(c)
				}
			}()
		}
		for _, c := range conns {
			c.Close()
		}
		for range n {
			<-answers
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// endless writes until the reader stops.
func endless(w io.Writer, text string) {
	for {
		if _, err := io.WriteString(w, text); err != nil {
			return
		}
	}
}

// Whatever a peer does: no wrong bytes are returned or kept, the next peer is asked, and
// it is logged once.
func TestHostilePeers(t *testing.T) {
	data := noise(200_000, 1)
	length := "Content-Length: " + strconv.Itoa(len(data)) + "\r\n"
	wrong := append([]byte{data[0] ^ 1}, data[1:]...)
	elsewhere := listen(t)
	defer elsewhere.Close()
	for name, test := range map[string]struct {
		answer func(c net.Conn)
		cause  string
	}{
		"WrongBytes": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n%s", length, wrong)
		}, "it sent other bytes"},
		"WrongLength": {func(c net.Conn) { fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc") }, "not what was asked for"},
		"EndlessBody": {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n"); endless(c, string(data)) }, "not what was asked for"},
		"EndlessChunks": {func(c net.Conn) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			endless(c, "5\r\nhello\r\n")
		}, "not what was asked for"},
		"LongerThanItSaid": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n%s", length, wrong)
			endless(c, string(data))
		}, "it sent other bytes"},
		"HugeHeader":  {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: "); endless(c, "xxxxxxxxxxxxxxxx") }, "cannot be reached"},
		"ManyHeaders": {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 200 OK\r\n"); endless(c, "X: y\r\n") }, "cannot be reached"},
		"Interim":     {func(c net.Conn) { endless(c, "HTTP/1.1 100 Continue\r\n\r\n") }, "cannot be reached"},
		"NoHTTP":      {func(c net.Conn) { fmt.Fprint(c, "220 mail ESMTP\r\n") }, "cannot be reached"},
		"Redirect": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: http://%s/\r\nContent-Length: 0\r\n\r\n", elsewhere.Addr())
		}, "redirect"},
		"PermanentRedirect": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 308 Found\r\nLocation: http://%s/\r\n%s\r\n%s", elsewhere.Addr(), length, data)
		}, "redirect"},
		"Partial": {func(c net.Conn) { fmt.Fprintf(c, "HTTP/1.1 206 Partial Content\r\n%s\r\n%s", length, data) }, "not what was asked for"},
		"Encoded": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n%s\r\n%s", length, data)
		}, "not what was asked for"},
		"Silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "too slow"},
		"SilentMidway": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n%s", length, data[:1000])
			_, _ = io.Copy(io.Discard, c)
		}, "too slow"},
		"SlowLoris": {func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n", length)
			for i := range data {
				if _, err := c.Write(data[i : i+1]); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond) // the subject
			}
		}, "too slow"},
		"Refuses": {func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n") }, "does not accept the secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // some wait
			hostile := raw(t, test.answer)
			m := newMachine(t, secret, hostile)
			m.fails = holdfast.ErrCorrupt
			if got, err := m.read(refOf(data)); err == nil {
				t.Errorf("%d bytes, right: %v", len(got), holdfast.DigestOf(got) == refOf(data).Name.Digest)
			}
			if names := m.cached(); len(names) > 0 {
				t.Errorf("cached %q", names)
			}
			if text := m.log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, test.cause) || !strings.Contains(text, hostile) {
				t.Errorf("logged, want one record with %q:\n%s", test.cause, text)
			}

			h := newHolder(t)
			h.have(t, data)
			both := newMachine(t, secret, raw(t, test.answer), h.serve(t, secret, nil))
			both.wantRead(data)
			if text := both.log.String(); strings.Count(text, "\n") > 1 {
				t.Errorf("logged:\n%s", text)
			}
		})
	}
}

// A redirect is never followed.
func TestNoRedirectFollowed(t *testing.T) {
	t.Parallel()
	data := noise(100, 1)
	h := newHolder(t)
	h.have(t, data)
	asked := make(chan string, 8)
	target := h.serve(t, secret, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked <- r.URL.Path; next.ServeHTTP(w, r) })
	})
	m := newMachine(t, secret, raw(t, func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://%s/objects/%s\r\nContent-Length: 0\r\n\r\n", target, refOf(data).Name)
	}))
	if _, err := m.read(refOf(data)); err == nil || len(asked) > 0 {
		t.Errorf("read = %v, the target was asked %d times", err, len(asked))
	}
}

// request sends one raw request to a peer, with a signature for the parameters in signed.
type request struct {
	method, target, host, secret, signedTarget string
	header                                     http.Header
	body                                       string
	at                                         time.Time
}

func (q request) send(t *testing.T, address string) (status int, body string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	at := strconv.FormatInt(q.at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(q.secret))
	fmt.Fprintf(mac, "holdfast peer 1\n%s\n%s\n%s\n%s\n%s\n%s\n", q.method, address, q.signedTarget, q.header.Get("Range"), q.header.Get("Holdfast-Size"), at)
	fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Holdfast-HMAC-SHA256 %s.%s\r\n", q.method, q.target, q.host, at, hex.EncodeToString(mac.Sum(nil)))
	if err := q.header.Write(c); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "\r\n%s", q.body)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(data)
}

// The server answers only requests that are signed, fresh, addressed to it and canonical.
// It logs the reason for a refusal, once per address.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	data := []byte("what the node holds, neither more nor less")
	name := h.have(t, data).Name.String()
	manifest := holdfast.DigestOf([]byte("m"))
	h.texts[manifest] = []byte("m")
	address := h.serve(t, secret, nil)
	good := func(target string) request {
		return request{
			method: http.MethodGet, target: target, signedTarget: target, host: address, secret: secret, at: time.Now(),
			header: http.Header{"Holdfast-Size": {strconv.Itoa(len(data))}},
		}
	}
	change := func(f func(*request)) request {
		q := good("/objects/" + name)
		f(&q)
		return q
	}
	header := func(key, value string) request { return change(func(q *request) { q.header.Set(key, value) }) }
	for what, test := range map[string]struct {
		request
		status int
		body   string
	}{
		"Good":            {good("/objects/" + name), 200, string(data)},
		"Range":           {header("Range", "bytes=5-"), 206, string(data[5:])},
		"Manifest":        {good("/manifests/" + manifest.String()), 200, "m"},
		"Inventory":       {good("/inventories/" + manifest.String()), 200, "m"},
		"Absent":          {good("/objects/" + manifest.String()), 404, ""},
		"WrongSecret":     {change(func(q *request) { q.secret = "another secret of some length" }), 401, ""},
		"SignedForOther":  {change(func(q *request) { q.signedTarget = "/objects/" + manifest.String() }), 401, ""},
		"MeantForOther":   {change(func(q *request) { q.host = "127.0.0.1:1" }), 401, ""},
		"Old":             {change(func(q *request) { q.at = q.at.Add(-6 * time.Minute) }), 401, ""},
		"FromTheFuture":   {change(func(q *request) { q.at = q.at.Add(6 * time.Minute) }), 401, ""},
		"Head":            {change(func(q *request) { q.method = "HEAD" }), 405, ""},
		"Put":             {change(func(q *request) { q.method, q.body = "PUT", "x"; q.header.Set("Content-Length", "1") }), 405, ""},
		"Body":            {change(func(q *request) { q.body = "x"; q.header.Set("Content-Length", "1") }), 405, ""},
		"ChunkedBody":     {change(func(q *request) { q.body = "0\r\n\r\n"; q.header.Set("Transfer-Encoding", "chunked") }), 405, ""},
		"NoSize":          {change(func(q *request) { q.header.Del("Holdfast-Size") }), 400, ""},
		"NegativeSize":    {header("Holdfast-Size", "-1"), 400, ""},
		"OtherSize":       {header("Holdfast-Size", "7"), 404, ""},
		"BackwardRange":   {header("Range", "bytes=-5"), 416, ""},
		"RangeBeyond":     {header("Range", "bytes=42-"), 416, ""},
		"RangeOverflow":   {header("Range", "bytes=99999999999999999999-"), 416, ""},
		"Root":            {good("/"), 404, ""},
		"Query":           {good("/objects/" + name + "?x"), 404, ""},
		"DotDot":          {good("/objects/../objects/" + name), 404, ""},
		"EncodedDotDot":   {good("/objects/%2e%2e/" + name), 404, ""},
		"DoubleSlash":     {good("//objects/" + name), 404, ""},
		"EncodedSlash":    {good("/objects%2f" + name), 404, ""},
		"UpperCase":       {good("/objects/" + strings.ToUpper(name)), 404, ""},
		"EncodedDigit":    {good("/objects/%" + hex.EncodeToString([]byte(name[:1])) + name[1:]), 404, ""},
		"Passwd":          {good("/objects/../../../../etc/passwd"), 404, ""},
		"PasswdManifest":  {good("/manifests//etc/passwd"), 404, ""},
		"StoreMarker":     {good("/holdfast-store.json"), 404, ""},
		"Absolute":        {good("http://" + address + "/objects/" + name), 404, ""},
		"OldIncarnation":  {good("/objects/" + name + ".0"), 404, ""},
		"HugeHeader":      {header("X", strings.Repeat("x", 2<<20)), 431, "431 Request Header Fields Too Large"},
		"NoAuthorization": {header("Authorization", "none"), 401, ""},
	} {
		t.Run(what, func(t *testing.T) {
			if what == "NoAuthorization" {
				test.secret = "not the one" // and a second header, which is not read
			}
			status, body := test.send(t, address)
			if status != test.status || body != test.body && status < 400 {
				t.Errorf("%d, %q, want %d, %q", status, body, test.status, test.body)
			}
		})
	}
	lines := strings.Split(strings.TrimSpace(h.log.String()), "\n")
	seen := make(map[string]bool)
	for _, line := range lines {
		_, line, _ = strings.Cut(line, "level=")
		if seen[line] {
			t.Errorf("logged twice: %s", line)
		}
		seen[line] = true
	}
	if len(lines) != 6 {
		t.Errorf("%d causes logged, want 6:\n%s", len(lines), h.log)
	}
}
