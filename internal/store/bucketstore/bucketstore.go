// Package bucketstore keeps a store in a bucket of S3 or of a server with the same
// protocol.
//
// # Server requirements
//
// PutObject with "If-None-Match: *" must create or fail, atomically; Open tests this and
// refuses a server that ignores the condition. Blobs of more than 16 MiB are uploaded in
// parts of 16 MiB, or of a ten-thousandth of the blob if that is more, with the same
// condition on the completion. A process tests before its first such upload whether the
// server honors the condition there; if not, large blobs are spooled to a temporary file
// and uploaded in one conditional request of at most 5 GiB.
//
// The credentials need s3:ListBucket on the bucket and s3:GetObject, PutObject,
// DeleteObject and AbortMultipartUpload on its objects; to clean up after writers that
// died in an upload also s3:ListBucketMultipartUploads. A lifecycle rule that aborts
// incomplete uploads after a day does the same. Do not enable versioning: deleted objects
// would stay.
//
// # Integrity
//
// The server gets the SHA-256 of each body and refuses others (x-amz-content-sha256,
// x-amz-checksum-sha256). ETags are not digests; they serve only to resume a broken
// download of the same object.
//
// # Time
//
// A connection without progress for Config.Timeout is dropped. Requests are retried a few
// times, including bodies. When an answer was lost, a mark in the object's metadata tells
// whether this Create made it.
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

	parts struct { // the result of the multipart test
		turn        chan struct{} // held while reading or finding it
		asked, safe bool
	}
}

var _ store.Driver = (*Driver)(nil)

// Close drops the idle connections.
func (d *Driver) Close() error {
	d.transport.CloseIdleConnections()
	return nil
}

// Place names the bucket and its server.
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

// fail classifies an error of the server or the connection to it.
func (d *Driver) fail(ctx context.Context, verb, key string, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s %s in %s: %w", verb, key, d.name, ctx.Err())
	case isCode(err, minio.NoSuchKey):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrNotFound)
	case isExists(err):
		return fmt.Errorf("%s %s: %w", verb, key, holdfast.ErrExists)
	case mayPass(err) || isCode(err, minio.NoSuchUpload): // that another process aborted
		return fmt.Errorf("%s %s in %s: %w: %w", verb, key, d.name, holdfast.ErrUnavailable, err)
	}
	return fmt.Errorf("%s %s in %s: %w", verb, key, d.name, explained(err))
}

// prefixOf normalizes a prefix from a URL or configuration.
func prefixOf(s string) string {
	if s = strings.Trim(s, "/"); s != "" {
		s += "/"
	}
	return s
}
