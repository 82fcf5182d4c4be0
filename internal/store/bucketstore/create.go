package bucketstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	defaultPart = 16 << 20
	minPart     = 5 << 20 // of S3
	maxParts    = 10_000  // of S3
	maxSingle   = 5 << 30 // of S3

	checksumHeader  = "x-amz-checksum-sha256"
	algorithmHeader = "x-amz-checksum-algorithm"
	markHeader      = "Holdfast-Write" // after x-amz-meta-
)

// Create implements store.Driver. If the key exists, it does not read large blobs.
func (d *Driver) Create(ctx context.Context, key string, size int64, r io.Reader) error {
	if err := check(ctx, "create", key); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("create %s: %w: size %d", key, holdfast.ErrInvalid, size)
	}
	src := &source{ctx: ctx, r: r}
	w := &write{driver: d, key: key, mark: newMark()}
	err := d.create(ctx, w, size, src)
	switch {
	case src.err != nil: // not a failure of the store
		return fmt.Errorf("create %s: %w", key, src.err)
	case err != nil:
		return d.fail(ctx, "create", key, err)
	}
	return nil
}

func (d *Driver) create(ctx context.Context, w *write, size int64, src *source) error {
	if size <= d.partSize {
		body := make([]byte, size)
		if err := src.fill(body, true); err != nil {
			return err
		}
		return w.put(ctx, readerAt(body), size, sumOf(body))
	}
	if _, err := d.stat(ctx, w.key); !isCode(err, minio.NoSuchKey) {
		if err == nil {
			err = errExists()
		}
		return err
	}
	safe, err := d.multipartSafe(ctx)
	if err != nil {
		return err
	}
	if !safe {
		return w.spool(ctx, size, src)
	}
	return w.multipart(ctx, size, src)
}

// write is one Create. Its mark is stored with the object.
type write struct {
	driver *Driver
	key    string
	mark   string
}

func newMark() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func sumOf(b []byte) [sha256.Size]byte { return sha256.Sum256(b) }

// put creates the object in one request.
func (w *write) put(ctx context.Context, body io.ReaderAt, size int64, sum [sha256.Size]byte) error {
	opts := minio.PutObjectOptions{
		DisableContentSha256: true, // set by the library; it is given below
		UserMetadata: map[string]string{
			checksumHeader: base64.StdEncoding.EncodeToString(sum[:]), markHeader: w.mark,
		},
	}
	opts.SetMatchETagExcept("*")
	return w.conditional(ctx, func(ctx context.Context) error {
		_, err := w.driver.core.PutObject(ctx, w.driver.bucket, w.driver.object(w.key),
			io.NewSectionReader(body, 0, size), size, "", hex.EncodeToString(sum[:]), opts)
		return err
	})
}

// conditional makes a request that creates the object unless it exists. If the outcome is
// unclear, the object itself tells.
func (w *write) conditional(ctx context.Context, request func(context.Context) error) error {
	lost := false
	err := w.driver.try(ctx, func(ctx context.Context) error {
		err := request(ctx)
		lost = lost || err != nil && isLost(err)
		return err
	})
	clear := !lost && !isStatus(err, http.StatusConflict) && !isCode(err, minio.NoSuchUpload)
	if err == nil || clear || ctx.Err() != nil {
		return err
	}
	info, statErr := w.driver.stat(ctx, w.key)
	switch {
	case statErr != nil && isExists(err):
		return fmt.Errorf("it existed a moment ago: %w", holdfast.ErrUnavailable)
	case statErr != nil:
		return err
	case info.UserMetadata[markHeader] == w.mark:
		return nil
	}
	return errExists()
}

// isLost reports whether a failed request may have been executed.
func isLost(err error) bool {
	var answer minio.ErrorResponse
	return !errors.As(err, &answer) || answer.StatusCode >= 500
}

// errExists matches the server's own error.
func errExists() error {
	return minio.ErrorResponse{StatusCode: http.StatusPreconditionFailed, Code: minio.PreconditionFailed}
}

// spool creates a large object in one request. It needs the whole object first, because a
// failed request is repeated and its digest is signed.
func (w *write) spool(ctx context.Context, size int64, src *source) error {
	if size > maxSingle {
		return errArgument{fmt.Errorf("%w: %d bytes: the server creates no more than %d conditionally", holdfast.ErrInvalid, size, int64(maxSingle))}
	}
	file, err := os.CreateTemp("", "holdfast-upload-*")
	if err != nil {
		return errArgument{fmt.Errorf("spool: %w", err)}
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil { // gone with the process at the latest
		return errArgument{fmt.Errorf("spool: %w", err)}
	}
	hash := sha256.New()
	if err := src.copyTo(io.MultiWriter(file, hash), size); err != nil {
		return errArgument{fmt.Errorf("spool: %w", err)}
	}
	return w.put(ctx, file, size, [sha256.Size]byte(hash.Sum(nil)))
}

// detached returns a context for cleanup after a call whose context may have ended.
func (d *Driver) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), min(d.timeout, 10*time.Second))
}
