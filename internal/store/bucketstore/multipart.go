package bucketstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// staleUpload is the age at which an incomplete upload is attributed to a dead writer. No
// upload of one object takes a day.
const staleUpload = 24 * time.Hour

// upload is a multipart upload.
type upload struct {
	driver *Driver
	object string
	id     string
	parts  []minio.CompletePart
}

// multipart creates the object part by part. Until the last request, a conditional one,
// combines the parts, nothing is visible, and by then everything was read.
func (w *write) multipart(ctx context.Context, size int64, src *source) error {
	u, err := w.driver.begin(ctx, w.key, w.mark)
	if err != nil {
		return err
	}
	if err = u.send(ctx, size, src); err == nil {
		err = w.conditional(ctx, u.complete)
	}
	if err != nil {
		u.abort(ctx)
	}
	return err
}

// begin starts an upload. If its answer is lost, the upload is aborted a day later.
func (d *Driver) begin(ctx context.Context, key, mark string) (*upload, error) {
	u := &upload{driver: d, object: d.object(key)}
	err := d.try(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := d.limit(ctx)
		defer cancel()
		u.id, err = d.core.NewMultipartUpload(ctx, d.bucket, u.object, minio.PutObjectOptions{
			UserMetadata: map[string]string{algorithmHeader: "SHA256", markHeader: mark},
		})
		return err
	})
	return u, err
}

// send reads and uploads all parts in sequence: a publish has several uploads in parallel
// anyway.
func (u *upload) send(ctx context.Context, size int64, src *source) error {
	part := max(u.driver.partSize, (size+maxParts-1)/maxParts)
	buffer := make([]byte, min(part, size))
	for left := size; left > 0; {
		body := buffer[:min(part, left)]
		left -= int64(len(body))
		if err := src.fill(body, left == 0); err != nil {
			return err
		}
		if err := u.part(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

// part uploads the next part. Repeating it is harmless.
func (u *upload) part(ctx context.Context, body []byte) error {
	sum := sumOf(body)
	checksum := base64.StdEncoding.EncodeToString(sum[:])
	number := len(u.parts) + 1
	opts := minio.PutObjectPartOptions{
		Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true,
		CustomHeader: http.Header{http.CanonicalHeaderKey(checksumHeader): {checksum}},
	}
	return u.driver.try(ctx, func(ctx context.Context) error {
		p, err := u.driver.core.PutObjectPart(ctx, u.driver.bucket, u.object, u.id, number,
			bytes.NewReader(body), int64(len(body)), opts)
		if err == nil {
			u.parts = append(u.parts, minio.CompletePart{PartNumber: number, ETag: p.ETag, ChecksumSHA256: checksum})
		}
		return err
	})
}

// complete makes the object appear, unless it exists.
func (u *upload) complete(ctx context.Context) error {
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	_, err := u.driver.core.CompleteMultipartUpload(ctx, u.driver.bucket, u.object, u.id, u.parts, opts)
	return err
}

// abort frees the storage of an upload. If that fails now, it is done a day later.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := u.driver.detached(ctx)
	defer cancel()
	err := u.driver.core.AbortMultipartUpload(ctx, u.driver.bucket, u.object, u.id)
	if err != nil && !isCode(err, minio.NoSuchUpload) {
		u.driver.log.WarnContext(ctx, "incomplete upload stays in the store", "store", u.driver.name, "object", u.object, "error", err)
	}
}

// multipartSafe reports whether the server completes uploads conditionally. It tests this
// once, on the probe, which exists, and cleans up old uploads.
func (d *Driver) multipartSafe(ctx context.Context) (bool, error) {
	select {
	case d.parts.turn <- struct{}{}:
		defer func() { <-d.parts.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if d.parts.asked {
		return d.parts.safe, nil
	}
	safe, err := d.probeMultipart(ctx)
	if err != nil {
		return false, err
	}
	if !safe {
		d.log.WarnContext(ctx, "the server does not create large objects conditionally in parts; they are spooled to a temporary file", "store", d.name)
	}
	d.parts.asked, d.parts.safe = true, safe
	d.clean(ctx)
	return safe, nil
}

func (d *Driver) probeMultipart(ctx context.Context) (bool, error) {
	if err := d.checkCondition(ctx); err != nil { // and the probe exists
		return false, err
	}
	u, err := d.begin(ctx, probeKey, newMark())
	if isStatus(err, http.StatusNotImplemented) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	err = u.part(ctx, []byte("probe"))
	if err == nil {
		err = d.try(ctx, u.complete)
	}
	if err != nil {
		u.abort(ctx)
	}
	switch {
	case isExists(err):
		return true, nil
	case err == nil || isStatus(err, http.StatusNotImplemented):
		return false, nil
	}
	return false, fmt.Errorf("try a conditional multipart upload: %w", err)
}

// clean aborts the uploads of dead writers. The store is usable even if it fails.
func (d *Driver) clean(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	for found := range d.core.ListIncompleteUploads(ctx, d.bucket, d.prefix, true) {
		if found.Err != nil {
			d.log.WarnContext(ctx, "incomplete uploads cannot be listed", "store", d.name, "error", found.Err)
			continue // the channel ends with it
		}
		if time.Since(found.Initiated) > staleUpload {
			u := &upload{driver: d, object: found.Key, id: found.UploadID}
			u.abort(ctx)
			d.log.InfoContext(ctx, "aborted an old incomplete upload", "store", d.name, "object", found.Key)
		}
	}
}
