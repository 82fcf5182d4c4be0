package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/peer"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(holdtest.Waiting(m, 6)) }

const secret = "correct horse battery staple"

func secrets(t testing.TB, text string) peer.Secrets {
	t.Helper()
	s, err := peer.ParseSecrets(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// journal collects log records.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(j, nil)) }

// machine is a node with an empty store and its own disk.
type machine struct {
	*blob.Source
	t      testing.TB
	log    *journal
	client *peer.Client
	cache  string
	fails  error // the store's answer: after ErrCorrupt, peers are asked once
}

// newMachine returns a machine with peers at the addresses.
func newMachine(t testing.TB, text string, addresses ...string) *machine {
	t.Helper()
	m := &machine{t: t, log: &journal{}, cache: t.TempDir(), fails: holdfast.ErrUnavailable}
	m.client = peer.NewClient(peer.ClientConfig{Secrets: secrets(t, text), Logger: m.log.logger()})
	var nodes []peer.Node
	for i, a := range addresses {
		nodes = append(nodes, peer.Node{Name: fmt.Sprint("n", i), Address: a})
	}
	m.client.Update(nodes)
	driver := memstore.New()
	driver.SetHook(func(context.Context, memstore.Op, string) error { return m.fails })
	var err error
	m.Source, err = blob.New(store.New(driver), blob.Options{
		Memory: 1 << 20, CacheDir: m.cache, SpoolDir: t.TempDir(), Peers: m.client, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// holder is a node that has the objects put in its store.
type holder struct {
	*blob.Source
	store *store.Store
	texts texts
	log   *journal
}

type texts map[holdfast.Digest][]byte

func (x texts) Text(_ peer.Kind, d holdfast.Digest) ([]byte, error) {
	if data, ok := x[d]; ok {
		return data, nil
	}
	return nil, holdfast.ErrNotFound
}

func newHolder(t testing.TB) *holder {
	t.Helper()
	h := &holder{store: store.New(memstore.New()), texts: texts{}, log: &journal{}}
	var err error
	h.Source, err = blob.New(h.store, blob.Options{Memory: 8 << 20, CacheDir: t.TempDir(), SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// serve answers peers, through wrap if it is not nil.
func (h *holder) serve(t testing.TB, text string, wrap func(http.Handler) http.Handler) (address string) {
	t.Helper()
	l := listen(t)
	var handler http.Handler = peer.NewServer(peer.ServerConfig{
		Secrets: secrets(t, text), Address: l.Addr().String(), Objects: h, Texts: h.texts, Logger: h.log.logger(),
	})
	if wrap != nil {
		handler = wrap(handler)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return l.Addr().String()
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// have makes the holder hold data.
func (h *holder) have(t testing.TB, data []byte) blob.Ref {
	t.Helper()
	ref := refOf(data)
	if _, err := h.store.PutObject(t.Context(), ref.Name, ref.Size, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	c, err := h.Open(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	return ref
}

func refOf(data []byte) blob.Ref {
	return blob.Ref{Name: holdfast.ObjectName{Digest: holdfast.DigestOf(data)}, Size: int64(len(data))}
}

func noise(n int, seed uint64) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(data)
	return data
}

func (m *machine) read(ref blob.Ref) ([]byte, error) {
	m.t.Helper()
	c, err := m.Open(m.t.Context(), ref)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
}

func (m *machine) wantRead(data []byte) {
	m.t.Helper()
	if got, err := m.read(refOf(data)); err != nil || !bytes.Equal(got, data) {
		m.t.Fatalf("%d bytes, %v, want %d\n%s", len(got), err, len(data), m.log)
	}
}

// cached lists the objects on the machine's disk.
func (m *machine) cached() (names []string) {
	m.t.Helper()
	err := filepath.WalkDir(m.cache, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

// A node gets an object of any size from another node, and then has it itself.
func TestFetch(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	all := [][]byte{{}, noise(1, 1), noise(60_000, 2), noise(300_000, 3), noise(3_000_000, 4)}
	for _, data := range all {
		h.have(t, data)
	}
	m := newMachine(t, secret, h.serve(t, secret, nil))
	for range 2 {
		for _, data := range all {
			m.wantRead(data)
		}
	}
	if n := m.Stats().Fetches; n != 2*int64(len(all)) { // each also asked for once from the store
		t.Errorf("%d fetches", n)
	}
	if _, err := m.read(refOf(noise(10, 5))); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("what nobody has: %v", err)
	}
	if text := m.log.String() + h.log.String(); text != "" {
		t.Errorf("logged:\n%s", text)
	}
}

// A node sends only objects that it has, and does not fetch for others.
func TestNoDetours(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	data := noise(100, 1)
	ref := refOf(data)
	if _, err := h.store.PutObject(t.Context(), ref.Name, ref.Size, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, secret, h.serve(t, secret, nil))
	if _, err := m.read(ref); err == nil || h.Stats().Fetches != 0 {
		t.Errorf("%v, and the holder fetched %d", err, h.Stats().Fetches)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	text := noise(100_000, 1)
	d := holdfast.DigestOf(text)
	h.texts[d] = text
	wrong := holdfast.DigestOf([]byte("other"))
	h.texts[wrong] = text
	m := newMachine(t, secret, h.serve(t, secret, nil))
	for _, kind := range []peer.Kind{peer.Manifest, peer.Inventory} {
		if got, err := m.client.Text(t.Context(), kind, d); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	if _, err := m.client.Text(t.Context(), peer.Manifest, holdfast.DigestOf(nil)); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
	if _, err := m.client.Text(t.Context(), peer.Manifest, wrong); !errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("wrong bytes: %v", err)
	}
	if _, err := m.client.Text(t.Context(), peer.Manifest, d); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("after that, the peer is left alone: %v", err)
	}
}

// Secrets can be changed one node at a time: a node accepts all of its secrets, and signs
// with the first.
func TestSecretsChange(t *testing.T) {
	t.Parallel()
	const newer = "a new and even longer secret"
	h := newHolder(t)
	data := noise(100, 1)
	h.have(t, data)
	for name, test := range map[string]struct {
		ours, theirs string
		ok           bool
	}{
		"Before": {secret, secret + "\n" + newer, true},
		"Midway": {newer + "\n" + secret, secret + "\n" + newer, true},
		"After":  {newer, newer + "\n" + secret, true},
		"Late":   {secret, newer, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, test.ours, h.serve(t, test.theirs, nil))
			if _, err := m.read(refOf(data)); (err == nil) != test.ok {
				t.Errorf("read = %v", err)
			}
		})
	}
}

// Invalid addresses are not peers.
func TestAddresses(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	data := noise(100, 1)
	h.have(t, data)
	good := h.serve(t, secret, nil)
	for _, bad := range []string{"", "127.0.0.1", ":80", "user@" + good, good + "/x?", good + "/", "a b:80", "[::1", good + "#", "x:y", "/etc/passwd:1"} {
		m := newMachine(t, secret, bad)
		if n := len(m.client.For(refOf(data))); n != 0 {
			t.Errorf("%q: %d peers", bad, n)
		}
	}
	for _, ok := range []string{good, "[::1]:80", "node7.example:8082"} {
		if n := len(newMachine(t, secret, ok).client.For(refOf(data))); n != 1 {
			t.Errorf("%q: %d peers", ok, n)
		}
	}
}

// TestFirst: peers said to have an object come first, in order, then all others; there
// are none before the first is known.
func TestFirst(t *testing.T) {
	t.Parallel()
	c := peer.NewClient(peer.ClientConfig{Secrets: secrets(t, secret), Logger: slog.New(slog.DiscardHandler)})
	if c.Any() {
		t.Error("somebody is there")
	}
	var nodes []peer.Node
	for i := range 6 {
		nodes = append(nodes, peer.Node{Name: fmt.Sprint(i), Address: fmt.Sprintf("10.0.0.%d:1", i)})
	}
	c.Update(nodes)
	ref := refOf(noise(100, 1))
	want := slices.DeleteFunc(c.For(ref), func(p blob.Peer) bool { return p == peerAt(c, ref, "10.0.0.4:1") || p == peerAt(c, ref, "10.0.0.2:1") })
	want = append([]blob.Peer{peerAt(c, ref, "10.0.0.4:1"), peerAt(c, ref, "10.0.0.2:1")}, want...)
	if got := c.First(ref, []string{"10.0.0.4:1", "10.9.9.9:1", "10.0.0.2:1"}); !slices.Equal(got, want) || !c.Any() {
		t.Errorf("asked in the order %v, want %v", got, want)
	}
}

func peerAt(c *peer.Client, ref blob.Ref, address string) blob.Peer {
	return c.First(ref, []string{address})[0]
}

func TestParseSecrets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n \n", "too short", strings.Repeat(secret+"\n", 9)} {
		if _, err := peer.ParseSecrets(text); !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", secrets(t, secret), secrets(t, secret), secrets(t, secret), secrets(t, secret)); strings.Contains(text, "horse") {
		t.Errorf("a secret in %s", text)
	}
}

// cutter breaks answers off after that many bytes, that many times.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		_ = http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// A broken transfer resumes where it ended; one that breaks off repeatedly fails, and
// nothing of it is kept.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, cuts := range []int{1, 3, 1000} {
		t.Run(fmt.Sprint(cuts), func(t *testing.T) {
			h := newHolder(t)
			data := noise(1_000_000, 1)
			h.have(t, data)
			var mu sync.Mutex
			var ranges []string
			m := newMachine(t, secret, h.serve(t, secret, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					ranges = append(ranges, r.Header.Get("Range"))
					cut := len(ranges) <= cuts
					mu.Unlock()
					if cut {
						w = &cutter{w, 100_000}
					}
					next.ServeHTTP(w, r)
				})
			}))
			if cuts <= 3 {
				m.wantRead(data)
				if len(ranges) != cuts+1 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") {
					t.Errorf("ranges %q", ranges)
				}
				return
			}
			if _, err := m.read(refOf(data)); err == nil || len(m.cached()) > 0 {
				t.Errorf("read = %v, cached %q", err, m.cached())
			}
		})
	}
}
