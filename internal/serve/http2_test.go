package serve_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/holdfast-web/holdfast/internal/fastpath"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// client is one end of an HTTP/2 connection, whose frames a test sends and reads.
type client struct {
	*http2.Framer
	t      testing.TB
	nc     net.Conn
	fields *hpack.Decoder
	status map[uint32]string // of the streams that have a header
	bodies map[uint32]int    // bytes that came
	order  []uint32          // of the streams of the DATA frames that came
	ended  map[uint32]bool
}

// frames serves h and connects to it; settings are those of the client.
func frames(t testing.TB, h *serve.Handler, settings ...http2.Setting) (*client, *fastpath.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fastpath.New(fastpath.Config{Handler: h, Standard: &http.Server{Handler: h}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close() // the test left the rest open
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil { // a test that hangs
		t.Fatal(err)
	}
	c := &client{
		Framer: http2.NewFramer(nc, nc), t: t, nc: nc,
		status: make(map[uint32]string), bodies: make(map[uint32]int), ended: make(map[uint32]bool),
	}
	c.fields = hpack.NewDecoder(0, nil) // the server must not use a table
	if _, err := io.WriteString(nc, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	c.must(c.WriteSettings(settings...))
	return c, s
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// header encodes fields, given as name, value, name, value.
func header(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		if err := e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			panic(err) // a Buffer does not fail
		}
	}
	return b.Bytes()
}

func request(method, path string, more ...string) []byte {
	return header(append([]string{":method", method, ":scheme", "http", ":authority", "example.com", ":path", path}, more...)...)
}

func (c *client) get(id uint32, path string, more ...string) {
	c.t.Helper()
	c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: request("GET", path, more...), EndStream: true, EndHeaders: true}))
}

// until reads frames until done accepts one, and returns that. It does not answer PINGs.
func (c *client) until(done func(f http2.Frame) bool) http2.Frame {
	c.t.Helper()
	for {
		f, err := c.ReadFrame()
		c.must(err)
		switch f := f.(type) {
		case *http2.HeadersFrame:
			fields, err := c.fields.DecodeFull(f.HeaderBlockFragment())
			c.must(err)
			c.status[f.StreamID] = fields[0].Value
			c.ended[f.StreamID] = c.ended[f.StreamID] || f.StreamEnded()
		case *http2.DataFrame:
			c.bodies[f.StreamID] += len(f.Data())
			c.order = append(c.order, f.StreamID)
			c.ended[f.StreamID] = c.ended[f.StreamID] || f.StreamEnded()
		}
		if done(f) {
			return f
		}
	}
}

// untilEnded reads until a stream has ended.
func (c *client) untilEnded(ids ...uint32) {
	c.t.Helper()
	c.until(func(http2.Frame) bool {
		for _, id := range ids {
			if !c.ended[id] {
				return false
			}
		}
		return true
	})
}

// ping reads until all is answered that was sent before. The first PING may overtake
// bodies, the second does not.
func (c *client) ping() {
	c.t.Helper()
	for range 2 {
		c.must(c.WritePing(false, [8]byte{1}))
		c.until(func(f http2.Frame) bool {
			p, ok := f.(*http2.PingFrame)
			return ok && p.IsAck()
		})
	}
}

const mega = 1 << 20

// The text has no coding that the test's client accepts.
func text(n int) string { return strings.Repeat("0123456789abcdef", n/16) }

// TestHTTP2KeepsToWindows: not a byte more is sent than the client accepts.
func TestHTTP2KeepsToWindows(t *testing.T) {
	h, _ := serve.NewGate(t, map[string]string{"a.js": text(mega), "b.js": text(64)})
	c, _ := frames(t, h, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
	c.get(1, "/a.js")
	c.get(3, "/b.js")
	c.ping()
	if c.bodies[1] != 10 || c.bodies[3] != 10 {
		t.Errorf("%v bytes came, want 10 each", c.bodies)
	}
	c.must(c.WriteWindowUpdate(1, 5))
	c.ping()
	if c.bodies[1] != 15 {
		t.Errorf("%d bytes came after 5 more were allowed", c.bodies[1])
	}
	c.must(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5}))
	c.must(c.WriteWindowUpdate(3, 5)) // the window is where it was
	c.ping()
	if c.bodies[3] != 10 {
		t.Errorf("%d bytes came although the window had shrunk by as much as was given", c.bodies[3])
	}
	c.must(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: mega}))
	c.ping()
	if c.bodies[1]+c.bodies[3] != 1<<16-1 {
		t.Errorf("%v bytes came, want what the connection takes", c.bodies)
	}
	c.must(c.WriteWindowUpdate(0, mega))
	c.must(c.WriteWindowUpdate(1, mega))
	c.untilEnded(1)
	if c.bodies[1] != mega || c.status[1] != "200" {
		t.Errorf("%d bytes came, status %s", c.bodies[1], c.status[1])
	}
}

// TestHTTP2Priorities: urgent bodies are sent first; bodies whose pieces are useful by
// themselves take turns (RFC 9218).
func TestHTTP2Priorities(t *testing.T) {
	h, _ := serve.NewGate(t, map[string]string{"a.js": text(mega)})
	for name, tt := range map[string]struct {
		first, second string
		update        string // of the second, before anything is sent
		want          string // streams of the first four frames
	}{
		"equal":              {"", "", "", "[1 1 1 1]"},
		"the second first":   {"u=5", "u=1", "", "[3 3 3 3]"},
		"default is 3":       {"u=4", "i=?0", "", "[3 3 3 3]"},
		"in turn":            {"u=2, i", "u=2,i=?1", "", "[1 3 1 3]"},
		"changed":            {"u=2", "u=7", "u=0", "[3 3 3 3]"},
		"what nobody knows":  {"u=9, x=1", "u=-1", "", "[1 1 1 1]"},
		"urgent before turn": {"u=2, i", "u=1", "", "[3 3 3 3]"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := frames(t, h, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			c.get(1, "/a.js", "priority", tt.first)
			c.get(3, "/a.js", "priority", tt.second)
			if tt.update != "" {
				c.must(c.WritePriorityUpdate(3, tt.update))
			}
			c.ping()
			c.must(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: mega}))
			c.until(func(http2.Frame) bool { return len(c.order) == 4 })
			if got := fmt.Sprint(c.order); got != tt.want {
				t.Errorf("frames of streams %s, want %s", got, tt.want)
			}
		})
	}
}

// TestHTTP2WaitsForOneAlone: an answer that has to wait delays no other, and ends when
// its client loses interest.
func TestHTTP2WaitsForOneAlone(t *testing.T) {
	h, g := serve.NewGate(t, map[string]string{"cold.js": text(128), "hot.js": text(256)}, "cold.js")
	c, _ := frames(t, h)
	c.get(1, "/cold.js")
	<-g.Waiting
	c.get(3, "/hot.js")
	c.untilEnded(3)
	c.get(5, "/cold.js")
	<-g.Waiting
	c.must(c.WriteRSTStream(5, http2.ErrCodeCancel))
	<-g.GivenUp
	if c.status[1] != "" {
		t.Error("answered without bytes")
	}
	close(g.Release)
	c.untilEnded(1)
	if c.status[1] != "200" || c.bodies[1] != 128 || c.bodies[3] != 256 || c.status[5] != "" {
		t.Errorf("status %v, bytes %v", c.status, c.bodies)
	}
}

// TestHTTP2Content: a request with content is answered when that has come, as long as
// it is short, and the stream is reset where more would come.
func TestHTTP2Content(t *testing.T) {
	h, _ := serve.NewGate(t, map[string]string{"a.js": text(128)})
	c, _ := frames(t, h)
	open := func(id uint32, method string, more ...string) {
		c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: request(method, "/a.js", more...), EndHeaders: true}))
	}
	open(1, "POST")
	c.must(c.WriteData(1, true, []byte("x")))
	open(3, "GET", "content-length", "3")
	c.must(c.WriteData(3, false, []byte("xy")))
	c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: header("x-sum", "1"), EndStream: true, EndHeaders: true})) // a trailer
	open(5, "POST", "expect", "100-continue")
	open(7, "GET")
	c.must(c.WriteData(7, true, nil))
	open(9, "POST")
	for range 4 {
		c.must(c.WriteData(9, false, make([]byte, 1<<14-1)))
	}
	resets := map[uint32]http2.ErrCode{}
	c.until(func(f http2.Frame) bool {
		if r, ok := f.(*http2.RSTStreamFrame); ok {
			resets[r.StreamID] = r.ErrCode
		}
		return c.ended[1] && c.ended[5] && c.ended[7] && len(resets) == 2
	})
	if got := fmt.Sprint(c.status, resets); got != "map[1:405 5:405 7:400] map[3:PROTOCOL_ERROR 5:NO_ERROR]" {
		t.Error(got)
	}
	c.must(c.WriteData(5, true, []byte("it was on its way"))) // no error
	c.must(c.WriteData(9, false, make([]byte, 3)))            // the window is full
	c.untilEnded(9)
	if c.status[9] != "405" {
		t.Errorf("much content: %s", c.status[9])
	}
	c.ping()
}

// TestHTTP2Shutdown: a client is told to go, and its requests before it hears that are
// answered.
func TestHTTP2Shutdown(t *testing.T) {
	h, g := serve.NewGate(t, map[string]string{"cold.js": text(128), "a.js": text(256)}, "cold.js")
	c, s := frames(t, h)
	c.get(1, "/cold.js")
	<-g.Waiting
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(t.Context()) }()
	last := func() (id uint32) {
		c.until(func(f http2.Frame) bool {
			g, ok := f.(*http2.GoAwayFrame)
			if ok {
				id = g.LastStreamID
			}
			return ok
		})
		return id
	}
	if id := last(); id != 1<<31-1 {
		t.Errorf("the first GOAWAY names stream %d", id)
	}
	var p *http2.PingFrame
	c.until(func(f http2.Frame) (ok bool) { p, ok = f.(*http2.PingFrame); return ok })
	c.get(3, "/a.js")
	c.must(c.WritePing(true, p.Data))
	if id := last(); id != 3 || !c.ended[3] {
		t.Errorf("the last GOAWAY names stream %d", id)
	}
	close(g.Release)
	c.untilEnded(1)
	if f, err := c.ReadFrame(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v, %v", f, err)
	}
	_ = c.nc.Close()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// TestHTTP2Floods: a client that causes work without requests is disconnected, and so is
// one that never ends a header.
func TestHTTP2Floods(t *testing.T) {
	h, _ := serve.NewGate(t, map[string]string{"a.js": text(128)})
	for name, send := range map[string]func(c *client, i int) error{
		"PING":     func(c *client, _ int) error { return c.WritePing(false, [8]byte{}) },
		"SETTINGS": func(c *client, _ int) error { return c.WriteSettings() },
		"PRIORITY": func(c *client, i int) error {
			return c.WritePriority(uint32(2*i+1), http2.PriorityParam{Weight: 1}) //nolint:gosec // small
		},
		"empty DATA": func(c *client, i int) error {
			if i == 0 {
				c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request("POST", "/"), EndHeaders: true}))
			}
			return c.WriteData(1, false, nil)
		},
		"CONTINUATION": func(c *client, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: request("GET", "/")})
			}
			return c.WriteContinuation(1, false, header("x-a", text(1<<10)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := frames(t, h)
			go func() {
				for i := range 12_000 {
					if send(c, i) != nil {
						return // disconnected
					}
				}
			}()
			code := http2.ErrCodeNo
			for {
				f, err := http2.NewFramer(nil, c.nc).ReadFrame()
				if err != nil {
					break
				}
				if g, ok := f.(*http2.GoAwayFrame); ok {
					code = g.ErrCode
				}
			}
			if code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("GOAWAY %v", code)
			}
		})
	}
}

// TestH2spec runs the conformance suite of github.com/summerwind/h2spec. One case fails
// in cleartext, where HTTP/1.1 is spoken on the same port: an invalid HTTP/2 preface is
// treated as a malformed HTTP/1.1 request, and gets an answer before the connection is
// closed.
func TestH2spec(t *testing.T) {
	path := os.Getenv("HOLDFAST_TOOLS") + "/h2spec"
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("h2spec is not installed (%v); run `make install-deps`", err)
	}
	h, _ := serve.NewGate(t, map[string]string{"index.html": "<!doctype html>" + text(1<<10)})
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			c := fastpath.Config{Handler: h, Standard: &http.Server{Handler: h}}
			_, port, _ := net.SplitHostPort(l.Addr().String())
			args := []string{"-h", "127.0.0.1", "-p", port}
			want := "145 tests, 144 passed, 0 skipped, 1 failed"
			if secure {
				c.TLS = certified(t)
				args = append(args, "-t", "-k")
				want = "145 tests, 145 passed, 0 skipped, 0 failed"
			}
			s := fastpath.New(c)
			served := make(chan error, 1)
			go func() { served <- s.Serve(l) }()
			out, _ := exec.CommandContext(t.Context(), path, args...).CombinedOutput() // the count says it
			if !strings.Contains(string(out), want) || !secure && !strings.Contains(string(out), "× 2: Sends invalid connection preface") {
				t.Errorf("want %q:\n%s", want, out)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			<-served
		})
	}
}
