// Package s3 lets a program join a cluster whose store is a bucket of S3, or of a
// service that speaks its protocol:
//
//	asset.Cluster{Registry: …, Store: s3.Store{URL: "s3://releases/shop?endpoint=https://s3.example.com"}}
package s3

import (
	"context"
	"crypto/tls"
	"log/slog"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/bucketstore"
)

// Store is a store in a bucket.
type Store struct {
	URL string // s3://BUCKET[/PREFIX][?endpoint=URL][&region=REGION]
	// AccessKey and SecretKey, and for temporary ones SessionToken; by default
	// those of the environment, as other tools find them.
	AccessKey, SecretKey, SessionToken string
	TLS                                *tls.Config // nil for the system's authorities
}

var _ asset.Store = Store{}

// OpenStore implements asset.Store.
func (s Store) OpenStore(ctx context.Context, log *slog.Logger) (store.Driver, error) {
	config, err := bucketstore.ParseURL(s.URL)
	if err != nil {
		return nil, err
	}
	config.Logger, config.TLS = log, s.TLS
	config.AccessKey, config.SecretKey, config.SessionToken = s.AccessKey, s.SecretKey, s.SessionToken
	driver, err := bucketstore.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	return driver, nil
}
