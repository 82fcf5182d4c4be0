package cluster

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/soak"
)

// TestFlood: a flood of requests for releases that nobody knows does not reach
// the registry: it is read once a second at most. The pages are served meanwhile.
func TestFlood(t *testing.T) {
	absent, busy := flooded(t, "/@unknown-%d/app.js", int64(soak.Or(1_000_000, 200_000)))
	if absent == 0 {
		t.Errorf("%d answers 404 and %d answers 503", absent, busy)
	}
}

// TestFloodOfPlainNames is the same for names of which nothing says that they may be
// files of a release. Such a flood never has a node say that it is unavailable.
func TestFloodOfPlainNames(t *testing.T) {
	absent, busy := flooded(t, "/images/none%d.png", int64(soak.Or(1_000_000, 200_000)))
	if busy != 0 {
		t.Errorf("%d answers 404 and %d answers 503", absent, busy)
	}
}

// flooded sends requests for so many paths to a node that is browsed meanwhile, and
// counts the answers 404 and 503.
func flooded(t *testing.T, path string, requests int64) (absent, busy int64) {
	c := start(t, 1)
	builds := c.publishDemo()
	way := newTap(t, c.zk.Addresses[0])
	n := c.serve(c.machine(zookeeper(way.Addr)), "a", "--poll", "1h", "--prune", "off", "--scrub", "off")
	c.awaitNodes()

	_, before := way.Reads()
	if code, err := n.askUnknown(fmt.Sprintf(path, 0)); code != http.StatusNotFound || err != nil {
		t.Fatalf("an unknown release: %d, %v", code, err)
	}
	reads, syncs := way.Reads()
	perRead := syncs - before // a read of the registry is so many linearizable steps
	if perRead < 1 {
		t.Fatal("a request for an unknown release read nothing")
	}

	c.browse(builds, 20*time.Millisecond)
	const clients = 1300 // more than may wait for a read
	var sent atomic.Int64
	var answers [600]atomic.Int64 // by status
	began := time.Now()
	var group errgroup.Group
	for range clients {
		group.Go(func() error {
			return n.flood(&answers, path, func() (int64, bool) { i := sent.Add(1); return i, i <= requests })
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	readsAfter, syncsAfter := way.Reads()
	// One a second, one at each end, and some that no request asks for: the node begins to
	// lead, and begins a read again that a busy machine does not answer.
	most := int(took.Seconds()) + 2 + 4
	t.Logf("%d requests in %v: %.1f reads of the registry, which took %d syncs and %d reads of ZooKeeper",
		requests, took, float64(syncsAfter-syncs)/float64(perRead), syncsAfter-syncs, readsAfter-reads)
	if syncsAfter-syncs > most*perRead { // each begins with one; lease renewals also read
		t.Errorf("more than one read of the registry a second: %d syncs in %v", syncsAfter-syncs, took)
	}
	absent, busy = answers[http.StatusNotFound].Load(), answers[http.StatusServiceUnavailable].Load()
	if absent+busy != requests {
		t.Errorf("%d answers 404 and %d answers 503 to %d requests", absent, busy, requests)
	}
	return absent, busy
}

// flood sends requests for what is unknown, one after the other, each for another
// path, and counts the answers by status.
func (n *clusterNode) flood(answers *[600]atomic.Int64, path string, next func() (number int64, more bool)) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(n.Base, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * program.Patience)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for {
		number, more := next()
		if !more {
			return nil
		}
		code, err := ask(conn, in, fmt.Sprintf(path, number))
		if err != nil {
			return err
		}
		answers[code].Add(1)
	}
}

func ask(conn io.Writer, in *bufio.Reader, target string) (int, error) {
	if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: shop.example\r\n\r\n"); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (n *clusterNode) askUnknown(path string) (int, error) {
	resp, err := browser.Get(n.Base + path)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
