// Package zookeeper lets a program join a cluster whose registry is in ZooKeeper:
//
//	asset.Join(ctx, asset.Cluster{
//		Registry: zookeeper.Registry{URL: "zk://10.0.0.1,10.0.0.2,10.0.0.3/shop"},
//		Store:    s3.Store{URL: "s3://releases/shop"},
//	}, asset.Options{App: "shop"})
package zookeeper

import (
	"context"
	"crypto/tls"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
)

// Registry is a registry in ZooKeeper.
type Registry struct {
	URL            string      // zk://HOST,HOST/TOPOLOGY
	User, Password string      // of a digest user; "" for none
	TLS            *tls.Config // nil for none
}

var _ asset.Registry = Registry{}

// OpenRegistry implements asset.Registry.
func (r Registry) OpenRegistry(ctx context.Context, o asset.Opening) (kv.Driver, error) {
	config, err := zkkv.ParseURL(r.URL)
	if err != nil {
		return nil, err
	}
	config.Logger = o.Logger
	config.Auth = zkkv.Auth{User: r.User, Password: r.Password}
	if r.TLS != nil {
		config.TLS = r.TLS
	}
	driver, err := zkkv.Open(ctx, config)
	if err != nil {
		return nil, err
	}
	return driver, nil
}
