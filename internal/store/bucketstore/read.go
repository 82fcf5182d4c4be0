package bucketstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	holdfast "github.com/holdfast-web/holdfast"
)

// resumptions is how often one reader resumes after its connection broke.
const resumptions = 3

// Open implements store.Driver.
func (d *Driver) Open(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := check(ctx, "open", key); err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("open %s: %w: offset %d", key, holdfast.ErrInvalid, off)
	}
	if n < 0 || n > math.MaxInt64-off {
		n = math.MaxInt64 - off
	}
	r := &reader{ctx: ctx, driver: d, key: key, off: off, end: off + n}
	err := d.try(ctx, r.open)
	if err != nil {
		return nil, d.fail(ctx, "open", key, err)
	}
	return r, nil
}

// reader reads a part of an object, and resumes where it was when the connection breaks.
type reader struct {
	ctx      context.Context // of the Open call; it also bounds reading
	driver   *Driver
	key      string
	off, end int64
	etag     string // of the object that was opened first
	body     io.ReadCloser
	broken   int
}

// open requests the rest.
func (r *reader) open(ctx context.Context) error {
	if r.off == r.end { // nothing, though the object must exist
		_, err := r.driver.stat(ctx, r.key)
		r.body = io.NopCloser(bytes.NewReader(nil))
		return err
	}
	var opts minio.GetObjectOptions
	if r.off > 0 || r.end < math.MaxInt64 {
		opts.Set("Range", byteRange(r.off, r.end))
	}
	if r.etag != "" {
		if err := opts.SetMatchETag(r.etag); err != nil {
			return err
		}
	}
	body, info, header, err := r.driver.core.GetObject(ctx, r.driver.bucket, r.driver.object(r.key), opts)
	switch {
	case isStatus(err, http.StatusRequestedRangeNotSatisfiable): // it starts beyond the end
		r.body = io.NopCloser(bytes.NewReader(nil))
		return nil
	case err != nil:
		return err
	}
	if r.off > 0 && !strings.HasPrefix(header.Get("Content-Range"), fmt.Sprintf("bytes %d-", r.off)) {
		_ = body.Close() // nothing was written
		return errArgument{errors.New("the server ignores Range")}
	}
	r.body, r.etag = body, info.ETag
	return nil
}

// byteRange is the Range header for the bytes from off up to, not including, end.
func byteRange(off, end int64) string {
	if end == math.MaxInt64 {
		return fmt.Sprintf("bytes=%d-", off)
	}
	return fmt.Sprintf("bytes=%d-%d", off, end-1)
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", r.key, err)
	}
	if r.off == r.end {
		return 0, io.EOF
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.off)])
	r.off += int64(n)
	if err == nil || err == io.EOF {
		return n, err
	}
	if r.broken++; r.broken > resumptions || r.ctx.Err() != nil {
		return n, r.driver.fail(r.ctx, "read", r.key, err)
	}
	return n, r.resume()
}

// resume continues with a new request. The body is the rest, or fails at once.
func (r *reader) resume() error {
	_ = r.body.Close() // it has failed
	err := r.driver.try(r.ctx, r.open)
	if err != nil {
		r.body = io.NopCloser(bytes.NewReader(nil))
		if isExists(err) { // If-Match did not hold
			err = errArgument{errors.New("the object was replaced while it was read")}
		}
		return r.driver.fail(r.ctx, "read", r.key, err)
	}
	return nil
}

func (r *reader) Close() error {
	if err := r.body.Close(); err != nil && r.ctx.Err() == nil {
		return fmt.Errorf("close %s: %w", r.key, err)
	}
	return nil
}
