// Package bucketstore keeps a store in a bucket of S3 or of a store that speaks
// its protocol.
//
// # What is asked of the server
//
// PutObject with "If-None-Match: *" must create or fail, atomically; Open tries
// it and refuses a server that does not care. Blobs of more than 16 MiB go up in
// parts of 16 MiB, or of a ten-thousandth of the blob if that is more, with the
// same condition on the completion. Whether the server cares for the condition
// there is tried before the first such upload of a process; if it does not, large
// blobs are spooled to a temporary file and go up in one conditional request of
// at most 5 GiB.
//
// The credentials need s3:ListBucket on the bucket and s3:GetObject, PutObject,
// DeleteObject and AbortMultipartUpload on its objects; for cleaning up after
// writers that died in an upload also s3:ListBucketMultipartUploads. A lifecycle
// rule that aborts incomplete uploads after a day does the same. Do not switch on
// versioning: what is swept would stay.
//
// # Integrity
//
// The server is told the SHA-256 of each body and refuses others
// (x-amz-content-sha256, x-amz-checksum-sha256). ETags are no digests; they only
// serve to resume a broken download of the same object.
//
// # Time
//
// A connection that makes no progress for Config.Timeout is dropped. Requests
// are repeated a few times, bodies included. When an answer was lost, a mark in
// the object's metadata tells whether it was this Create that made it.
package bucketstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
)

// Driver is a store.Driver.
type Driver struct {
	core      *minio.Core
	creds     *credentials.Credentials
	transport *http.Transport
	name      string // for messages
	bucket    string
	prefix    string // "" or with a slash at the end
	timeout   time.Duration
	partSize  int64
	log       *slog.Logger

	parts struct { // what is known of multipart uploads
		turn        chan struct{} // held by who looks or finds out
		asked, safe bool
	}
}

var _ store.Driver = (*Driver)(nil)

// Close drops the idle connections.
func (d *Driver) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}

// Place names the bucket and the server that it is on.
func (d *Driver) Place() string { return d.name }

// object is the name of a key in the bucket.
func (d *Driver) object(key string) string { return d.prefix + key }

// Stat implements store.Driver.
func (d *Driver) Stat(ctx context.Context, key string) (store.Info, error) {
	if err := check(ctx, "stat", key); err != nil {
		return store.Info{}, err
	}
	info, err := d.stat(ctx, key)
	if err != nil {
		return store.Info{}, d.fail(ctx, "stat", key, err)
	}
	return store.Info{Key: key, Size: info.Size, Created: info.LastModified}, nil
}

func (d *Driver) stat(ctx context.Context, key string) (info minio.ObjectInfo, err error) {
	err = d.try(ctx, func(ctx context.Context) error {
		ctx, cancel := d.limit(ctx)
		defer cancel()
		info, err = d.core.StatObject(ctx, d.bucket, d.object(key), minio.StatObjectOptions{})
		return err
	})
	return info, err
}

// Delete implements store.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	if err := check(ctx, "delete", key); err != nil {
		return err
	}
	err := d.try(ctx, func(ctx context.Context) error {
		ctx, cancel := d.limit(ctx)
		defer cancel()
		return d.core.RemoveObject(ctx, d.bucket, d.object(key), minio.RemoveObjectOptions{})
	})
	if err != nil && !isCode(err, minio.NoSuchKey) {
		return d.fail(ctx, "delete", key, err)
	}
	return nil
}

func check(ctx context.Context, verb, key string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	if err := store.CheckKey(key); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// fail tells what an error of the server, or of the way to it, means.
func (d *Driver) fail(ctx context.Context, verb, key string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s in %s: %w", verb, key, d.name, ctx.Err())
	case isCode(err, minio.NoSuchKey):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrNotFound)
	case isExists(err):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrExists)
	case mayPass(err) || isCode(err, minio.NoSuchUpload): // one that somebody aborted
		return fmt.Errorf("%s %s in %s: %w: %w", verb, key, d.name, holdfast.ErrUnavailable, err)
	}
	return fmt.Errorf("%s %s in %s: %w", verb, key, d.name, explained(err))
}

// prefixOf makes a prefix of what stands in a URL or configuration.
func prefixOf(s string) string {
	if s = strings.Trim(s, "/"); s != "" {
		s += "/"
	}
	return s
}
