package bucketstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store/bucketstore"
	"github.com/holdfast-web/holdfast/test/services"
)

// TestCuts breaks the connection at many points of a Create, in its requests and in the
// answers. Every Create succeeds, because it repeats what broke, recognizes its own
// object, and that object is complete.
func TestCuts(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	var running errgroup.Group
	var fired atomic.Int32
	running.SetLimit(8)
	for _, size := range []int{0, 1000, 300_000, part + 100_000} {
		text := noise(size)
		for _, upload := range []bool{true, false} {
			for i, after := range cuts(size, upload) {
				running.Go(func() error {
					cut := newCutter(t, s3.Addr(), upload, after)
					cutCreate(t, c, fmt.Sprintf("k/%d-%t-%d", size, upload, i), text, cut)
					if cut.done.Load() {
						fired.Add(1)
					}
					wantWhole(t, straight, fmt.Sprintf("k/%d-%t-%d", size, upload, i), text)
					return nil
				})
			}
		}
	}
	_ = running.Wait() // errors are the test's
	t.Logf("%d connections cut", fired.Load())
	if fired.Load() < 50 {
		t.Errorf("%d cuts are too few for a test", fired.Load())
	}
}

// cutCreate creates through a connection that breaks.
func cutCreate(t *testing.T, c bucketstore.Config, key string, text []byte, cut *cutter) {
	c.Endpoint = cut.url()
	d, err := bucketstore.New(c)
	if err != nil {
		t.Error(err)
		return
	}
	if err := d.Create(t.Context(), key, int64(len(text)), bytes.NewReader(text)); err != nil {
		t.Errorf("Create of %s: %v", key, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// cuts are positions in the bytes that a Create sends or receives.
func cuts(size int, upload bool) []int64 {
	if !upload {
		return []int64{1, 20, 100, 200, 300, 600, 900, 1500, 2500}
	}
	cuts := []int64{1, 100, 700, 1200, 2000}
	for i := range int64(6) {
		cuts = append(cuts, 500+int64(size)*(i+1)/6)
	}
	return cuts
}

// TestLostAnswers: when the answer to a Create is lost, the repeated request finds the
// object, and Create can tell which writer made it.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	var losing atomic.Bool
	rival := []byte("a rival's")
	p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		completion := r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
		if r.Header.Get("If-None-Match") == "" || !losing.CompareAndSwap(true, false) {
			pass.ServeHTTP(w, r)
			return
		}
		if strings.Contains(r.URL.Path, "rival") { // another writer wins while ours never arrives
			if err := straight.Create(r.Context(), strings.TrimPrefix(r.URL.Path, "/"+c.Bucket+"/"), int64(len(rival)), bytes.NewReader(rival)); err != nil {
				t.Errorf("Create of the rival (completion %t): %v", completion, err)
			}
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	})
	c.Endpoint = p.URL
	d := open(t, c)
	if err := d.Create(t.Context(), "warm", large, bytes.NewReader(noise(large))); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1000, large} {
		text := noise(size)
		mine, theirs := fmt.Sprintf("mine/%d", size), fmt.Sprintf("rival/%d", size)
		losing.Store(true)
		if err := d.Create(t.Context(), mine, int64(size), bytes.NewReader(text)); err != nil {
			t.Errorf("Create of %d bytes whose answer was lost: %v", size, err)
		}
		wantWhole(t, straight, mine, text)
		losing.Store(true)
		if err := d.Create(t.Context(), theirs, int64(size), bytes.NewReader(text)); !errors.Is(err, holdfast.ErrExists) {
			t.Errorf("Create of %d bytes that a rival made meanwhile: %v, want ErrExists", size, err)
		}
		wantWhole(t, straight, theirs, rival)
		if losing.Load() {
			t.Fatal("no answer was lost")
		}
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestIgnoresConditions: a server that replaces objects is refused; one that does so only
// on the completion of multipart uploads gets large blobs in one request. Both are
// simulated with a correct server by deleting existing objects.
func TestIgnoresConditions(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			c := config(t, s3)
			core := newCore(t, s3)
			p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				if r.Method == method && r.Header.Get("If-None-Match") != "" {
					key := strings.TrimPrefix(r.URL.Path, "/"+c.Bucket+"/")
					if err := core.RemoveObject(r.Context(), c.Bucket, key, minio.RemoveObjectOptions{}); err != nil {
						t.Error(err)
					}
				}
				pass.ServeHTTP(w, r)
			})
			c.Endpoint = p.URL
			d, err := bucketstore.Open(t.Context(), c)
			if method == http.MethodPut {
				if !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), "ignores If-None-Match") {
					t.Errorf("Open = %v, want a refusal", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			spooled(t, d, p)
		})
	}
}

func spooled(t *testing.T, d *bucketstore.Driver, p *proxy) {
	text := noise(large)
	if err := d.Create(t.Context(), "k", large, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, d, "k", text)
	p.requests()
	if err := d.Create(t.Context(), "l", large, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if got := p.requests(); got != "HEAD PUT" {
		t.Errorf("requests %s, want HEAD PUT", got)
	}
	wantWhole(t, d, "l", text)
	if err := d.Create(t.Context(), "m", large, bytes.NewReader(text[1:])); err == nil || errors.Is(err, holdfast.ErrUnavailable) {
		t.Errorf("Create of a reader with too little: %v", err)
	}
	if _, err := d.Stat(t.Context(), "m"); !errors.Is(err, holdfast.ErrNotFound) {
		t.Errorf("Stat = %v", err)
	}
}

func newCore(t testing.TB, s3 *services.S3) *minio.Core {
	t.Helper()
	transport := &http.Transport{}
	core, err := minio.NewCore(s3.Addr(), &minio.Options{
		Creds: credentials.NewStaticV4(s3.AccessKey, s3.SecretKey, ""), Region: s3.Region, Transport: transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return core
}

// TestResumedRead: a download continues where its connection broke, a few times.
func TestResumedRead(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	text := noise(large)
	if err := straight.Create(t.Context(), "k", large, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	for _, after := range []int64{100, 600, 5000, large / 2, large} {
		cut := newCutter(t, s3.Addr(), false, after)
		broken := c
		broken.Endpoint = cut.url()
		d, err := bucketstore.New(broken)
		if err != nil {
			t.Fatal(err)
		}
		wantWhole(t, d, "k", text)
		if !cut.done.Load() {
			t.Errorf("nothing was cut after %d bytes", after)
		}
		_ = d.Close()
	}
	// One that always breaks ends with an error and not with partial content.
	p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(&breaking{ResponseWriter: w, left: 100_000}, r)
	})
	c.Endpoint = p.URL
	d, err := bucketstore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := read(t.Context(), d, "k"); !errors.Is(err, holdfast.ErrUnavailable) || !bytes.HasPrefix(text, got) {
		t.Errorf("read %d bytes, %v; want ErrUnavailable after a part", len(got), err)
	}
}

type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return b.ResponseWriter.Write(p)
}

// TestFailingAnswers: answers of servers that are busy or broken.
func TestFailingAnswers(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	var failures atomic.Int32
	var answer atomic.Pointer[string]
	p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if failures.Add(-1) < 0 {
			pass.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		var status int
		var code string
		if _, err := fmt.Sscanf(*answer.Load(), "%d %s", &status, &code); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>told to</Message></Error>", code)
	})
	c.Endpoint = p.URL
	d := open(t, c)
	for text, passes := range map[string]bool{
		"409 ConditionalRequestConflict": true, "409 OperationAborted": true, "409 ExistingObjectIsDirectory": true, "503 SlowDown": true, "500 InternalError": true,
		"502 BadGateway": true, "429 TooManyRequests": true, "400 RequestTimeout": true,
		"403 AccessDenied": false, "404 NoSuchBucket": false, "501 NotImplemented": false, "403 SignatureDoesNotMatch": false,
	} {
		answer.Store(&text)
		key := strings.ReplaceAll(text, " ", "-")
		failures.Store(2)
		err := d.Create(t.Context(), key, 4, strings.NewReader("text"))
		failures.Store(0)
		if passes != (err == nil) || errors.Is(err, holdfast.ErrUnavailable) || errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("Create after two answers %s: %v", text, err)
		}
		if passes {
			wantWhole(t, straight, key, []byte("text"))
		}
		failures.Store(100)
		err = d.Create(t.Context(), key+"-always", 4, strings.NewReader("text"))
		failures.Store(0)
		if err == nil || passes != errors.Is(err, holdfast.ErrUnavailable) {
			t.Errorf("Create after answers %s without end: %v", text, err)
		}
	}
}

// TestDamagedUpload: a server rejects a body that changed on the way.
func TestDamagedUpload(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	var damages, damaged atomic.Int32
	p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPut && r.ContentLength > 100 && damages.Add(-1) >= 0 {
			damaged.Add(1)
			r.Body = io.NopCloser(io.MultiReader(&flipped{r: io.LimitReader(r.Body, 1)}, r.Body))
		}
		pass.ServeHTTP(w, r)
	})
	c.Endpoint = p.URL
	d := open(t, c)
	for _, size := range []int{1000, large} {
		key, text := fmt.Sprintf("k/%d", size), noise(size)
		damages.Store(2)
		if err := d.Create(t.Context(), key, int64(size), bytes.NewReader(text)); err != nil {
			t.Errorf("Create of %d bytes that were damaged twice: %v", size, err)
		}
		wantWhole(t, straight, key, text)
		damages.Store(100)
		if err := d.Create(t.Context(), key+"-always", int64(size), bytes.NewReader(text)); err == nil {
			t.Errorf("Create of %d bytes that were always damaged succeeded", size)
		}
		damages.Store(0)
		if _, err := straight.Stat(t.Context(), key+"-always"); !errors.Is(err, holdfast.ErrNotFound) {
			t.Errorf("damaged bytes are in the store: %v", err)
		}
	}
	if n := damaged.Load(); n < 10 {
		t.Errorf("%d bodies were damaged, too few for a test", n)
	}
}

// flipped changes every byte.
type flipped struct{ r io.Reader }

func (f *flipped) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// TestListResumes: a list continues after the last key when a page fails.
func TestListResumes(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	straight := open(t, c)
	const n = 1500
	for i := range n {
		if err := straight.Create(t.Context(), fmt.Sprintf("k/%06d", i), 0, bytes.NewReader(nil)); err != nil {
			t.Fatal(err)
		}
	}
	var calls atomic.Int32
	p := newProxy(t, s3, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if calls.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		pass.ServeHTTP(w, r)
	})
	c.Endpoint = p.URL
	d, err := bucketstore.New(c)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	seen := 0
	for info, err := range d.List(t.Context(), "k/", "") {
		if err != nil || info.Key != fmt.Sprintf("k/%06d", seen) {
			t.Fatalf("key %d is %+v, %v", seen, info, err)
		}
		seen++
	}
	if seen != n || calls.Load() < 3 {
		t.Errorf("%d keys in %d requests", seen, calls.Load())
	}
}

// TestAbandonedUploads: a failed Create leaves no parts behind, and those of a dead
// writer are aborted a day later.
func TestAbandonedUploads(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	core, d := newCore(t, s3), open(t, c)
	if err := d.Create(t.Context(), "failed", large, bytes.NewReader(noise(large-1))); err == nil {
		t.Error("Create of a reader with too little succeeded")
	}
	if got := uploads(t, core, c.Bucket); len(got) != 0 {
		t.Errorf("uploads %q are left", got)
	}
	for _, key := range []string{"old", "new"} {
		id, err := core.NewMultipartUpload(t.Context(), c.Bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if key == "old" {
			age(t, filepath.Join(s3.Dir(), c.Bucket), id)
		}
	}
	next := open(t, c)
	if err := next.Create(t.Context(), "k", large, bytes.NewReader(noise(large))); err != nil {
		t.Fatal(err)
	}
	if got := uploads(t, core, c.Bucket); len(got) != 1 || got[0] != "new" {
		t.Errorf("uploads %q are left, want the new one", got)
	}
}

// age makes an upload two days old.
func age(t *testing.T, dir, id string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != id {
			return err
		}
		found = true
		then := time.Now().Add(-48 * time.Hour)
		return os.Chtimes(path, then, then)
	})
	if err != nil || !found {
		t.Fatalf("upload %s is not found: %v", id, err)
	}
}

func uploads(t *testing.T, core *minio.Core, bucket string) (keys []string) {
	t.Helper()
	for u := range core.ListIncompleteUploads(t.Context(), bucket, "", true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		keys = append(keys, u.Key)
	}
	return keys
}
