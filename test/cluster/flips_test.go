package cluster

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/examples/cluster/load"
	"github.com/holdfast-web/holdfast/test/program"
)

// TestFlipsUnderLoad: five nodes on two sides, 100 flips and rollbacks of real
// builds, and browsers that ask any node for files of any of these releases.
func TestFlipsUnderLoad(t *testing.T) {
	c := start(t, 3)
	corpus := program.Corpus(t, "zigbee")
	var builds []*load.Build
	for _, release := range []string{"0.9.17", "0.9.19", "0.9.21"} {
		builds = append(builds, c.publish(filepath.Join(corpus, release), release))
	}
	for _, side := range []string{"a", "b"} {
		c.admin.Run("activate", builds[0].Release, "--side", side, "--create")
	}
	c.five()
	c.watchRevisions()
	stop := c.browse(builds, 2*time.Millisecond)

	began := time.Now()
	const flips = 100
	live := map[string]string{"a": builds[0].Release, "b": builds[0].Release}
	for i := range flips {
		c.flip(i, builds, live)
		if i%20 == 10 {
			c.compareSides(builds)
		}
	}
	took := time.Since(began)
	counts := stop()
	t.Logf("%d flips and rollbacks in %v (%v each); %v", flips, took, took/flips, counts)
	if counts.Requests < 1000 {
		t.Errorf("only %d requests were sent meanwhile", counts.Requests)
	}
	c.expectHistory(flips)
}

// flip flips the sides in turn, every third time by a rollback, and updates what
// is live on them.
func (c *cluster) flip(i int, builds []*load.Build, live map[string]string) {
	c.t.Helper()
	side := []string{"a", "b"}[i%2]
	next := slices.IndexFunc(builds, func(b *load.Build) bool { return b.Release == live[side] }) + 1
	args := []string{"activate", builds[next%len(builds)].Release, "--side", side}
	if i%6 >= 4 {
		args = []string{"rollback", "--side", side}
	}
	var result struct {
		Release string `json:"release"`
		Changed bool   `json:"changed"`
		Nodes   struct {
			Total, Ready int
		} `json:"nodes"`
	}
	c.admin.RunJSON(&result, args...)
	if result.Nodes.Total != len(c.nodes) || result.Nodes.Ready != len(c.nodes) || !result.Changed || result.Release == live[side] {
		c.t.Errorf("flip %d: %+v, want a change that all %d nodes know", i, result, len(c.nodes))
	}
	live[side] = result.Release
}

// expectHistory: each flip is in the history, once.
func (c *cluster) expectHistory(flips int) {
	c.t.Helper()
	var status struct {
		Apps []struct {
			Releases map[string]int `json:"releases"`
		} `json:"apps"`
		Problems []struct{ Problem string } `json:"problems"`
	}
	c.admin.RunJSON(&status, "status")
	if len(status.Problems) > 0 || len(status.Apps) != 1 {
		c.t.Errorf("status: %+v", status)
	}
	var again struct{ Seq int64 }
	c.admin.RunJSON(&again, "rollback", "--side", "a")
	if want := int64(flips) + 3; again.Seq != want {
		c.t.Errorf("one more flip has the number %d, want %d", again.Seq, want)
	}
}

// compareSides compares the raw answers of the nodes of each side, which have the
// same table now: they may differ in Date alone.
func (c *cluster) compareSides(builds []*load.Build) {
	c.t.Helper()
	requests := []string{
		"GET / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n", "GET /nowhere.js HTTP/1.1\r\n", "OPTIONS / HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\nAccept-Encoding: br\r\n", "POST / HTTP/1.1\r\nContent-Length: 0\r\n",
		"GET /@none/app.js HTTP/1.1\r\n", "GET /deep/page HTTP/1.1\r\nSec-Fetch-Mode: navigate\r\n",
	}
	for _, b := range builds {
		for _, f := range b.Files[:6] {
			requests = append(requests,
				fmt.Sprintf("GET /@%s/%s HTTP/1.1\r\nAccept-Encoding: gzip, br\r\n", b.Release, f.Path),
				fmt.Sprintf("GET /%s HTTP/1.1\r\nRange: bytes=10-99\r\n", f.Path),
				fmt.Sprintf("GET /%s HTTP/1.1\r\nX-Deployment-Id: %s\r\n", f.Path, b.Release))
		}
	}
	for _, request := range requests {
		for _, side := range []string{"a", "b"} {
			nodes := c.side(side)
			for _, n := range nodes[1:] {
				if diff := difference(c.t, nodes[0], n, request); diff != "" {
					c.t.Errorf("%q: %s and %s of side %s answer differently:\n%.2000s", request, nodes[0].name, n.name, side, diff)
				}
			}
		}
	}
}

// difference asks two nodes the same. Flips that follow each other faster than one a
// second have stamps that lie ahead, and no answer has a Last-Modified after its own
// Date (RFC 9110, section 8.8.2.1): when the second turns between the two answers they
// differ by that, once.
func difference(t *testing.T, a, b *clusterNode, request string) (diff string) {
	t.Helper()
	for range 3 {
		if diff = cmp.Diff(a.raw(t, request), b.raw(t, request)); diff == "" {
			return ""
		}
	}
	return diff
}

// raw sends one request and returns the answer's bytes without those of Date.
func (n *clusterNode) raw(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(program.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request+"Host: shop.example\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !ok {
		t.Fatalf("%s: %q to %q", n.name, answer, request)
	}
	var lines []string
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if !strings.HasPrefix(line, "Date: ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n\n" + string(body)
}
