// Package etcd lets a program join a cluster whose registry is in etcd:
//
//	asset.Join(ctx, asset.Cluster{
//		Registry: etcd.Registry{URL: "etcd://10.0.0.1:2379,10.0.0.2:2379/shop"},
//		Store:    s3.Store{URL: "s3://releases/shop"},
//	}, asset.Options{App: "shop"})
package etcd

import (
	"context"
	"crypto/tls"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
)

// Registry is a registry in etcd.
type Registry struct {
	URL            string      // etcd://HOST:PORT,HOST:PORT/PREFIX
	User, Password string      // "" without authentication
	TLS            *tls.Config // authorities and client certificate; nil for none of our own
}

var _ asset.Registry = Registry{}

// OpenRegistry implements asset.Registry.
func (r Registry) OpenRegistry(ctx context.Context, o asset.Opening) (kv.Driver, error) {
	config, err := etcdkv.ParseURL(r.URL)
	if err != nil {
		return nil, err
	}
	config.Logger = o.Logger
	config.Username, config.Password, config.TLS = r.User, r.Password, r.TLS
	driver, err := etcdkv.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	return driver, nil
}
