package lifecycle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

// usual is how long a soak takes in `make test`; HOLDFAST_SOAK says how long it
// takes in `make soak`, as a duration.
const usual = 15 * time.Second

func soakTime(t *testing.T) time.Duration {
	text := os.Getenv("HOLDFAST_SOAK")
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 10 * time.Minute // on, without saying how long
	}
	t.Logf("for %v", d)
	return d
}

// TestSoak publishes, flips, reads and prunes at the same time, all with real
// processes, for as long as it is given: no read of a release that is served fails
// or gets other bytes, nothing is missing, and the store does not grow without bound.
func TestSoak(t *testing.T) {
	t.Run("SQLite and directory", func(t *testing.T) {
		m := newMachine(t)
		soak(t, m, []*program.Node{m.Serve("--prune", "1s", "--name", "a"), m.Serve("--prune", "1s", "--name", "b")})
	})
	t.Run("ZooKeeper and S3", func(t *testing.T) {
		zk := services.StartZooKeeper(t, services.ZooKeeperOptions{Servers: 1})
		s3 := services.StartS3(t, services.S3Options{})
		s3.Bucket(t, "holdfast")
		machine := func() *program.Machine {
			m := program.NewMachine(t, "--registry", "zk://"+strings.Join(zk.Addresses, ",")+"/soak", "--store", "s3://holdfast/soak?endpoint="+s3.URL)
			m.Env = []string{"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey}
			return m
		}
		m := breakable(machine())
		soak(t, m, []*program.Node{machine().Serve("--prune", "1s", "--name", "a"), machine().Serve("--prune", "1s", "--name", "b")})
	})
}

// soaker is one soak.
type soaker struct {
	*machine
	nodes []*program.Node
	end   time.Time

	mu    sync.Mutex
	files map[string]map[string]string // path → digest of the bytes, by release
	reads int
	gone  int // reads of releases that were retired meanwhile
}

func soak(t *testing.T, m *machine, nodes []*program.Node) {
	s := &soaker{machine: m, nodes: nodes, end: time.Now().Add(soakTime(t)), files: make(map[string]map[string]string)}
	ctx, cancel := context.WithDeadline(t.Context(), s.end.Add(program.Patience))
	defer cancel()
	s.release(0)
	var running sync.WaitGroup
	for i := range 2 {
		running.Go(func() { s.read(ctx, nodes[i], rand.New(rand.NewPCG(9, uint64(i)))) })
	}
	running.Go(s.flip)
	running.Go(s.pruneByHand)
	most, releases := 0, 1
	for ; time.Now().Before(s.end) && !t.Failed(); releases++ {
		s.release(releases)
		if releases%10 == 0 {
			most = max(most, s.stored())
		}
	}
	running.Wait()
	t.Logf("%d releases, %d reads, %d of them of releases that were retired a moment before, at most %d objects stored", releases, s.reads, s.gone, most)
	if s.reads == 0 {
		t.Error("nothing was read")
	}
	for _, n := range nodes {
		n.Stop()
	}
	s.settle()
}

// release publishes release n, mostly of new bytes, and makes it live.
func (s *soaker) release(n int) {
	dir, files := s.T.TempDir(), make(map[string]string)
	id := fmt.Sprint("s", n)
	for i := range 6 {
		content := strings.Repeat(fmt.Sprintf("part %d of %d\n", i, n/(1+i%3)), 100)
		name := fmt.Sprintf("part-%d.js", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			s.T.Error(err)
		}
		sum := sha256.Sum256([]byte(content))
		files[name] = hex.EncodeToString(sum[:])
	}
	if _, err := s.Try("publish", dir, "--release", id, "--activate", "--effort", "fast"); err != nil {
		s.T.Error(err)
		return
	}
	_ = os.RemoveAll(dir) // only to save room
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[id] = files
}

func decode(text string, into any) error { return json.Unmarshal([]byte(text), into) }

// served returns the releases that are served, as the registry has it.
func (s *soaker) served() (ids []string, err error) {
	var list struct {
		Releases []struct{ Release, State string }
	}
	out, err := s.Try("releases", "--json")
	if err == nil {
		err = decode(out, &list)
	}
	for _, r := range list.Releases {
		if r.State == "live" || r.State == "draining" || r.State == "published" {
			ids = append(ids, r.Release)
		}
	}
	return ids, err
}

// read asks a node for files of releases that are served.
func (s *soaker) read(ctx context.Context, n *program.Node, random *rand.Rand) {
	client := &http.Client{Timeout: program.Patience}
	defer client.CloseIdleConnections()
	for time.Now().Before(s.end) && !s.T.Failed() {
		ids, err := s.served()
		if err != nil {
			s.T.Error(err)
			return
		}
		for range 100 {
			id := ids[random.IntN(len(ids))]
			if err := s.readOne(ctx, client, n, id, fmt.Sprintf("part-%d.js", random.IntN(6))); err != nil {
				s.T.Error(err)
				return
			}
		}
	}
}

func (s *soaker) readOne(ctx context.Context, client *http.Client, n *program.Node, id, path string) error {
	s.mu.Lock()
	want := s.files[id][path]
	s.mu.Unlock()
	if want == "" {
		return nil // it is being published
	}
	resp, body, err := program.Fetch(ctx, client, n.Base+"/@"+id+"/"+path, nil)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	s.mu.Lock()
	s.reads++
	if resp.StatusCode == http.StatusGone {
		s.gone++
	}
	s.mu.Unlock()
	switch {
	case resp.StatusCode == http.StatusOK && hex.EncodeToString(sum[:]) == want:
		return nil
	case resp.StatusCode == http.StatusOK:
		return fmt.Errorf("%s of %s: other bytes", path, id)
	case resp.StatusCode != http.StatusGone:
		return fmt.Errorf("%s of %s: %s %s", path, id, resp.Status, body)
	}
	ids, err := s.served()
	for _, other := range ids {
		if other == id {
			return errors.Join(err, fmt.Errorf("%s of %s: %s, although the release is served", path, id, resp.Status))
		}
	}
	return err
}

// flip rolls back now and then.
func (s *soaker) flip() {
	for time.Now().Before(s.end) && !s.T.Failed() {
		_, _ = s.Try("rollback", "--wait", "0s") // there may be nothing to go back to
		time.Sleep(300 * time.Millisecond)
	}
}

// pruneByHand prunes although the leader does so as well.
func (s *soaker) pruneByHand() {
	for time.Now().Before(s.end) && !s.T.Failed() {
		_, _ = s.Try("prune") // the other one may be at work
		time.Sleep(500 * time.Millisecond)
	}
}

// stored counts the objects of the store.
func (s *soaker) stored() int {
	var report struct {
		Referenced, Young, Condemned struct{ Objects int }
		Pending                      []struct{ Objects int }
	}
	out, err := s.Try("prune", "--dry-run", "--json")
	if err == nil {
		err = decode(out, &report)
	}
	if err != nil {
		return 0 // the other prune was just at it
	}
	n := report.Referenced.Objects + report.Young.Objects + report.Condemned.Objects
	for _, p := range report.Pending {
		n += p.Objects
	}
	const bound = 2000 // some 100 releases; they come and go by the hundred
	if n > bound {
		s.T.Errorf("the store holds %d objects, more than %d", n, bound)
	}
	return n
}
