package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/asset/etcd"
	"github.com/holdfast-web/holdfast/asset/s3"
	"github.com/holdfast-web/holdfast/asset/zookeeper"
)

// frontEnd says which build this process has, and which cluster it joins, if any.
type frontEnd struct {
	listen          string
	build           string // directory; "" for the embedded one
	dev             bool
	registry, store string // URLs; "" for no cluster
	name, data      string
	identity        string
	peers, secret   string // where others reach this process, and what all of them share
}

// open returns what serves the front end.
func (f frontEnd) open(ctx context.Context, log *slog.Logger) (*asset.Assets, error) {
	joins := f.registry != "" || f.store != ""
	switch {
	case joins && f.dev:
		return nil, errors.New("-dev is for one process by itself: leave -registry and -store out")
	case f.build != "" && !joins:
		return asset.Open(f.build, asset.Options{Dev: f.dev, Logger: log})
	}
	dist, err := fs.Sub(embedded, version+"/dist")
	if f.build != "" {
		dist, err = os.DirFS(f.build), nil
	}
	switch {
	case err != nil:
		return nil, err
	case joins:
		return f.join(ctx, dist, log)
	default:
		return asset.New(dist, asset.Options{Dev: f.dev, Logger: log})
	}
}

// join makes this process a node of the cluster, with the build that it brings: all
// processes serve the files of all builds, and the pages of each refer to its own.
func (f frontEnd) join(ctx context.Context, dist fs.FS, log *slog.Logger) (*asset.Assets, error) {
	registry, err := registryAt(f.registry)
	if err != nil {
		return nil, err
	}
	where := asset.Cluster{
		Registry: registry,
		Name:     f.name, Address: f.listen, DataDir: f.data,
		Build: dist, Identity: f.identity,
	}
	if f.store != "" {
		where.Store = s3.Store{URL: f.store}
	}
	if f.peers != "" {
		where.Peers = &asset.Peers{Listen: f.peers, Secret: f.secret}
	}
	return asset.Join(ctx, where, asset.Options{Logger: log})
}

// registryAt returns the registry that a URL means.
func registryAt(url string) (asset.Registry, error) {
	switch {
	case strings.HasPrefix(url, "etcd://"):
		return etcd.Registry{URL: url}, nil
	case strings.HasPrefix(url, "zk://"):
		return zookeeper.Registry{URL: url}, nil
	default:
		return nil, fmt.Errorf("-registry %q: want etcd://HOST:PORT,…/PREFIX or zk://HOST:PORT,…/TOPOLOGY", url)
	}
}
