package bucketstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/minio/minio-go/v7"

	holdfast "github.com/holdfast-web/holdfast"
)

// probeKey is not a store key, so it is never listed. The object stays.
const probeKey = ".holdfast-probe"

// Open checks that the bucket can be used, and returns the store in it.
func Open(ctx context.Context, c Config) (*Driver, error) {
	d, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := d.Check(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// New returns the store in a bucket without contacting it: it may be unreachable now and
// come back. Check should be called before anything is created.
func New(c Config) (*Driver, error) {
	if err := c.fill(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	endpoint, err := c.endpoint()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	transport, creds := newTransport(c.TLS, c.Timeout), c.credentials()
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds: creds, Secure: endpoint.Scheme == "https", Transport: transport, Region: c.Region,
		MaxRetries: 1, // none: only the driver knows the meaning of a lost answer
	})
	if err != nil {
		return nil, fmt.Errorf("open store: %w: %w", holdfast.ErrInvalid, err)
	}
	d := &Driver{
		core: core, creds: creds, transport: transport, bucket: c.Bucket, prefix: prefixOf(c.Prefix),
		timeout: c.Timeout, partSize: c.PartSize, log: cmp.Or(c.Logger, slog.New(slog.DiscardHandler)),
	}
	d.parts.turn = make(chan struct{}, 1)
	d.name = fmt.Sprintf("s3://%s/%s at %s", d.bucket, d.prefix, endpoint)
	return d, nil
}

// Check makes sure that the bucket exists and can be listed, and that the server creates
// conditionally. Credentials that cannot write are logged and are not an error: a store
// may be read-only to a node.
func (d *Driver) Check(ctx context.Context) error {
	v, err := d.creds.GetWithContext(d.core.CredContext())
	if err == nil && v.SignerType.IsAnonymous() {
		err = holdfast.ErrDenied
	}
	if err != nil {
		return fmt.Errorf("open store: %w: no credentials for %s were found (%w): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a credentials file",
			holdfast.ErrInvalid, d.name, err)
	}
	for _, err := range d.list(ctx, "", "", 1) {
		if err != nil {
			return fmt.Errorf("open store: %w", d.fail(ctx, "list", "the bucket", err))
		}
		break
	}
	err = d.checkCondition(ctx)
	if isCode(err, minio.AccessDenied) {
		d.log.WarnContext(ctx, "the credentials cannot write to the store", "store", d.name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open store: %w", d.fail(ctx, "try a conditional create of", probeKey, err))
	}
	return nil
}

// checkCondition creates the probe, which exists except the first time, until the server
// refuses it.
func (d *Driver) checkCondition(ctx context.Context) error {
	for range 2 {
		w := &write{driver: d, key: probeKey, mark: newMark()}
		err := w.put(ctx, bytes.NewReader(nil), 0, sumOf(nil))
		if isExists(err) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errArgument{fmt.Errorf("%w: the server ignores If-None-Match and replaces objects; it cannot keep a store: use one that creates conditionally",
		holdfast.ErrInvalid)}
}
