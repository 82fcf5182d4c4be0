package bucketstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/bucketstore"
	"github.com/holdfast-web/holdfast/internal/store/storetest"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	part  = 5 << 20 // the smallest part, so that the suite's blobs have several
	large = 2*part + 12345
)

// config returns a configuration for a new bucket on a server.
func config(t testing.TB, s3 *services.S3) bucketstore.Config {
	t.Helper()
	bucket := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == '_' || r == '#' {
			return '-'
		}
		return r
	}, t.Name()))
	bucket = bucket[max(0, len(bucket)-50):]
	bucket = "b" + strings.TrimLeft(bucket, "-")
	s3.Bucket(t, bucket)
	c := bucketstore.Config{
		Endpoint: s3.URL, Bucket: bucket, Region: s3.Region, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
		PartSize: part,
	}
	if s3.PKI != nil {
		c.TLS = s3.PKI.ClientTLS()
	}
	return c
}

func open(t testing.TB, c bucketstore.Config) *bucketstore.Driver {
	t.Helper()
	d, err := bucketstore.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

func TestConformance(t *testing.T) {
	s3 := services.StartS3(t, services.S3Options{})
	for _, prefix := range []string{"", "deep/er"} {
		t.Run("prefix"+prefix, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Driver {
				c := config(t, s3)
				c.Prefix = prefix
				return open(t, c)
			})
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{TLS: true})
	c := config(t, s3)
	d := open(t, c)
	for key, size := range map[string]int{"small": 1000, "large": large} {
		want := noise(size)
		if err := d.Create(t.Context(), key, int64(size), bytes.NewReader(want)); err != nil {
			t.Fatal(err)
		}
		wantWhole(t, d, key, want)
	}
	c.TLS = nil
	if _, err := bucketstore.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "unknown authority") || errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("Open of a server with a strange certificate: %v", err)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func read(ctx context.Context, d store.Driver, key string) ([]byte, error) {
	r, err := d.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	return io.ReadAll(r)
}

func wantWhole(t testing.TB, d store.Driver, key string, want []byte) {
	t.Helper()
	got, err := read(t.Context(), d, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: read %d bytes, %v; want the %d written", key, len(got), err, len(want))
	}
}

// TestLargeRace: of many concurrent uploads of one key, in parts or at once, one wins.
func TestLargeRace(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	d := open(t, config(t, s3))
	const writers = 8
	for round := range 3 {
		key := fmt.Sprintf("objects/%d", round)
		var won, lost atomic.Int32
		var winner atomic.Pointer[[]byte]
		var wg sync.WaitGroup
		for i := range writers {
			text := noise(part + 1)
			if i == 0 {
				text = text[:part] // in one request
			}
			wg.Go(func() {
				switch err := d.Create(t.Context(), key, int64(len(text)), bytes.NewReader(text)); {
				case err == nil:
					won.Add(1)
					winner.Store(&text)
				case errors.Is(err, holdfast.ErrExists):
					lost.Add(1)
				default:
					t.Errorf("Create: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != writers-1 {
			t.Fatalf("%d won and %d lost", won.Load(), lost.Load())
		}
		wantWhole(t, d, key, *winner.Load())
	}
}

// TestRequests counts the requests of each method.
func TestRequests(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	p := newProxy(t, s3, nil)
	c.Endpoint = p.URL
	d := open(t, c)
	p.requests() // those of Open
	ctx := t.Context()
	small, big := noise(1000), noise(large)
	for _, test := range []struct {
		name string
		do   func() error
		want string
	}{
		{"create", func() error { return d.Create(ctx, "k", 1000, bytes.NewReader(small)) }, "PUT"},
		{"open", func() error { _, err := read(ctx, d, "k"); return err }, "GET"},
		{"stat", func() error { _, err := d.Stat(ctx, "k"); return err }, "HEAD"},
		{"list", func() error {
			for _, err := range d.List(ctx, "", "") {
				if err != nil {
					return err
				}
			}
			return nil
		}, "GET"},
		{"delete", func() error { return d.Delete(ctx, "k") }, "DELETE"},
		// Once: whether the probe exists, and a refused upload of it; then the list of
		// uploads.
		{
			"first large", func() error { return d.Create(ctx, "l", large, bytes.NewReader(big)) },
			"HEAD PUT POST PUT POST DELETE GET POST PUT PUT PUT POST",
		},
		{"large", func() error { return d.Create(ctx, "m", large, bytes.NewReader(big)) }, "HEAD POST PUT PUT PUT POST"},
	} {
		if err := test.do(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := p.requests(); got != test.want {
			t.Errorf("%s made the requests %s, want %s", test.name, got, test.want)
		}
	}
	wantWhole(t, d, "l", big)
}

// TestPaused: a stalled server delays no call beyond its deadline, or without one beyond
// the store's own.
func TestPaused(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	c.Timeout = 300 * time.Millisecond
	d := open(t, c)
	big := noise(large)
	if err := d.Create(t.Context(), "k", large, bytes.NewReader(big)); err != nil {
		t.Fatal(err)
	}
	reading, err := d.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	s3.Pause()
	calls := map[string]func(context.Context) error{
		"Stat":   func(ctx context.Context) error { _, err := d.Stat(ctx, "k"); return err },
		"Open":   func(ctx context.Context) error { _, err := d.Open(ctx, "k", 0, -1); return err },
		"Delete": func(ctx context.Context) error { return d.Delete(ctx, "k") },
		"Create": func(ctx context.Context) error { return d.Create(ctx, "l", 1000, bytes.NewReader(big[:1000])) },
		"Large":  func(ctx context.Context) error { return d.Create(ctx, "m", large, bytes.NewReader(big)) },
		"List": func(ctx context.Context) error {
			for _, err := range d.List(ctx, "", "") {
				return err
			}
			return nil
		},
		"Read": func(context.Context) error {
			_, err := io.ReadAll(reading) // its own context lasts
			return errors.Join(err, reading.Close())
		},
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(t.Context()); !errors.Is(err, holdfast.ErrUnavailable) {
				t.Errorf("%s of a server that stands still: %v, want ErrUnavailable", name, err)
			}
			if name == "Read" {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s of a server that stands still: %v, want DeadlineExceeded", name, err)
			}
		})
	}
	wg.Wait()
	s3.Resume()
}

// TestKill kills the server during writes: acknowledged objects exist, and no partial
// object does.
func TestKill(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	c.Timeout = time.Second
	d := open(t, c)
	text := noise(2 * part)
	acknowledged := 0
	for round := range 4 {
		workers := []*worker{{size: 100_000}, {size: part + 1}, {size: len(text)}}
		var started, ended sync.WaitGroup
		for i, w := range workers {
			w.dir = fmt.Sprintf("k/%d/%d", round, i)
			started.Add(1)
			ended.Go(func() { w.run(t, d, text, sync.OnceFunc(started.Done)) })
		}
		started.Wait()
		s3.Kill()
		ended.Wait()
		s3.Restart()
		for _, w := range workers {
			w.verify(t, d, text)
			acknowledged += w.acknowledged
		}
	}
	t.Logf("%d acknowledged, none lost", acknowledged)
}

// worker creates objects of one size until it cannot.
type worker struct {
	dir          string
	size         int
	acknowledged int
}

func (w *worker) key(i int) string { return fmt.Sprintf("%s/%d", w.dir, i) }

func (w *worker) run(t *testing.T, d store.Driver, text []byte, first func()) {
	defer first()
	for {
		err := d.Create(t.Context(), w.key(w.acknowledged), int64(w.size), bytes.NewReader(text[:w.size]))
		if err != nil {
			if !errors.Is(err, holdfast.ErrUnavailable) {
				t.Errorf("Create: %v", err)
			}
			return
		}
		first()
		w.acknowledged++
	}
}

// verify reads everything acknowledged, and anything else that exists.
func (w *worker) verify(t *testing.T, d store.Driver, text []byte) {
	for i := range w.acknowledged + 1 {
		got, err := read(t.Context(), d, w.key(i))
		if i == w.acknowledged && errors.Is(err, holdfast.ErrNotFound) {
			return
		}
		if err != nil || !bytes.Equal(got, text[:w.size]) {
			t.Errorf("key %d of %d acknowledged: %d bytes, %v", i, w.acknowledged, len(got), err)
		}
	}
}
