package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/bucketstore"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// Only this file names backends.
const (
	registrySchemes = "sqlite:PATH, zk://HOST,HOST/TOPOLOGY and etcd://HOST,HOST/PREFIX"
	storeSchemes    = "a directory, dir:PATH, nfs:PATH and s3://BUCKET/PREFIX?endpoint=URL"
)

// openTimeout bounds how long opening a registry or a store may take.
const openTimeout = 15 * time.Second

// backends are the registry and the store that a command works on.
type backends struct {
	registry *registry.Registry
	store    *store.Store
	closers  []io.Closer
	clock    func() time.Time // time.Now if nil
}

// Close closes both; it may be called on a part of them.
func (b *backends) Close() error {
	var errs []error
	for i := len(b.closers) - 1; i >= 0; i-- {
		errs = append(errs, b.closers[i].Close())
	}
	return errors.Join(errs...)
}

// opening says whether a command may create missing backends.
type opening uint8

const (
	existing opening = iota // reading must not leave a new registry behind
	create
	pretend // show missing backends to the user as empty
	join    // make it only if it is embedded: a cluster's must be there
)

// with runs do with the backends that the global flags name.
func (c *cli) with(ctx context.Context, o opening, do func(*backends) error) error {
	b, err := c.open(ctx, o, nil)
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.Close())
}

// withRegistry runs do with only the registry, which must exist: an activation must not
// depend on the store, least of all in an emergency.
func (c *cli) withRegistry(ctx context.Context, do func(*backends) error) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	b, err := c.openBackends(opening, existing, nil)
	if err != nil {
		return err
	}
	return errors.Join(atPlace(do(b), c.theRegistry()), b.Close())
}

// theRegistry is the registry as hints name it.
func (c *cli) theRegistry() place {
	scheme, _, _ := strings.Cut(c.global.registry, ":")
	names := map[string]string{"zk": "ZooKeeper", "etcd": "etcd"}
	return place{
		what: cmp.Or(names[scheme], "the registry"), flag: "--registry", where: c.registryPlace(),
		login: "check the user and password in HOLDFAST_REGISTRY_LOGIN, and the user's permissions",
	}
}

// theStore is the store as hints name it.
func (c *cli) theStore() place {
	return place{what: "the store", flag: "--store", where: c.storePlace(), login: "check the credentials and their permissions"}
}

// open opens the backends that the global flags name. The first user binds the store to
// the registry.
func (c *cli) open(ctx context.Context, o opening, log *slog.Logger) (*backends, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	b, err := c.openBackends(ctx, o, log)
	if err != nil || b.store != nil {
		return b, err
	}
	err = c.patiently(ctx, c.theStore(), log, func(ctx context.Context) error { return b.openStore(ctx, c, o, log) })
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// openBackends opens the registry, and a store only where both are pretended.
func (c *cli) openBackends(ctx context.Context, o opening, log *slog.Logger) (*backends, error) {
	b := &backends{clock: c.clock}
	var empty bool
	err := c.patiently(ctx, c.theRegistry(), log, func(ctx context.Context) (err error) {
		empty, err = b.openRegistry(ctx, c, o, log)
		return err
	})
	switch {
	case err != nil:
		return nil, errors.Join(err, b.Close())
	case empty && o == pretend:
		return openMemory(ctx, b)
	case empty:
		return nil, errors.Join(c.noRegistry(), b.Close())
	}
	return b, nil
}

// errNoRegistry: there is a database, or a place for one, but no registry in it.
var errNoRegistry = errors.New("there is no registry")

func (c *cli) noRegistry() error {
	return hinted(fmt.Errorf("%w at %s", errNoRegistry, c.registryPlace()),
		"name the one you mean with --data or --registry; the first holdfast publish creates one")
}

// keeper is a registry's driver.
type keeper interface {
	kv.Driver
	io.Closer
}

// openRegistry opens the registry, unless it is empty and must not be created.
func (b *backends) openRegistry(ctx context.Context, c *cli, o opening, log *slog.Logger) (empty bool, err error) {
	embedded := c.embedded()
	if embedded && o == join {
		o = create
	}
	if _, err := os.Stat(c.sqlitePath()); embedded && o != create && errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	driver, err := c.registryDriver(ctx, log)
	if err != nil {
		return false, err
	}
	b.closers = append(b.closers, driver)
	if o != create && !embedded {
		if there, err := registry.Exists(ctx, driver); err != nil || !there {
			return !there, err
		}
	}
	if b.registry, err = registry.Open(ctx, driver, registry.Options{Logger: log, Clock: c.clock, ClockID: c.clockID, TrustClock: c.global.trustClock}); err != nil {
		return false, fmt.Errorf("open registry %s: %w", c.registryPlace(), err)
	}
	return false, nil
}

func (c *cli) registryDriver(ctx context.Context, log *slog.Logger) (keeper, error) {
	text := c.global.registry
	scheme, _, _ := strings.Cut(text, ":")
	switch {
	case text == "" || scheme == "sqlite" && text != "sqlite:":
		driver, err := sqlitekv.Open(ctx, c.sqlitePath(), sqlitekv.Options{Logger: log})
		return opened(driver, err)
	case scheme == "zk":
		return c.zooKeeper(ctx, log)
	case scheme == "etcd":
		return c.etcd(ctx, log)
	}
	return nil, usage("--registry %s: this build supports %s", text, registrySchemes)
}

// opened converts a driver that could not be opened to a nil keeper. Drivers name their
// target in errors.
func opened[D keeper](driver D, err error) (keeper, error) {
	if err != nil {
		return nil, err
	}
	return driver, nil
}

func (c *cli) zooKeeper(ctx context.Context, log *slog.Logger) (keeper, error) {
	config, err := zkkv.ParseURL(c.global.registry)
	if err != nil {
		return nil, usageError{fmt.Errorf("--registry: %w", err)}
	}
	trust, err := c.registryTLS()
	if err != nil {
		return nil, err
	}
	if trust != nil {
		config.TLS = trust
	}
	if login := c.login(); login != "" {
		if config.Auth, err = zkkv.ParseAuth(login); err != nil {
			return nil, usageError{fmt.Errorf("HOLDFAST_REGISTRY_LOGIN: %w", err)}
		}
	}
	config.Logger = log
	driver, err := zkkv.Open(ctx, config)
	return opened(driver, err)
}

func (c *cli) etcd(ctx context.Context, log *slog.Logger) (keeper, error) {
	config, err := etcdkv.ParseURL(c.global.registry)
	if err != nil {
		return nil, usageError{fmt.Errorf("--registry: %w", err)}
	}
	if config.TLS, err = c.registryTLS(); err != nil {
		return nil, err
	}
	var ok bool
	if config.Username, config.Password, ok = strings.Cut(c.login(), ":"); !ok && config.Username != "" {
		return nil, usage("HOLDFAST_REGISTRY_LOGIN: want user:password")
	}
	config.Logger = log
	driver, err := etcdkv.Open(ctx, config)
	return opened(driver, err)
}

// login returns user:password for the registry. It has no flag, because every user on the
// machine can see command lines.
func (c *cli) login() string {
	text, _ := c.env("HOLDFAST_REGISTRY_LOGIN")
	return text
}

// registryTLS returns the TLS configuration for the registry, nil for the default.
func (c *cli) registryTLS() (*tls.Config, error) {
	ca, cert, key := c.global.registryCA, c.global.registryCert, c.global.registryKey
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("read --registry-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, usage("--registry-ca %s: no PEM certificate in it", ca)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("load --registry-cert and --registry-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func (b *backends) openStore(ctx context.Context, c *cli, o opening, log *slog.Logger) error {
	var mayBegin func(context.Context, store.Driver) error
	if o == create {
		mayBegin = func(ctx context.Context, d store.Driver) error { return c.mayBegin(ctx, b.registry, d) }
	}
	s, closer, err := c.unclaimedStore(ctx, mayBegin, log)
	if err != nil {
		return err
	}
	b.store, b.closers = s, append(b.closers, closer)
	if err := c.claim(ctx, b.registry, s); err != nil {
		return err
	}
	if !c.private() || o == join {
		return nil // a node holds its own store while it brings its build
	}
	hold, err := c.holdOwn(ctx)
	if err == nil {
		b.closers = append(b.closers, hold)
	}
	return err
}

// unclaimedStore opens the store. Where it must be mounted and is not, mayBegin says
// whether a new one may be made; nil: it may not.
func (c *cli) unclaimedStore(ctx context.Context, mayBegin func(context.Context, store.Driver) error, log *slog.Logger) (*store.Store, io.Closer, error) {
	driver, err := c.storeDriver(ctx, log)
	if err != nil {
		return nil, nil, err
	}
	s, closer := store.New(driver), closerOf(driver)
	err = c.checkMounted(ctx, s)
	if errors.Is(err, errNoStore) && mayBegin != nil {
		err = mayBegin(ctx, driver)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return s, closer, nil
}

// closerOf returns a driver's Close, which may do nothing.
func closerOf(driver store.Driver) io.Closer {
	if closer, ok := driver.(io.Closer); ok {
		return closer
	}
	return io.NopCloser(nil)
}

func (c *cli) storeDriver(ctx context.Context, log *slog.Logger) (store.Driver, error) {
	place := c.storePlace()
	scheme, path, ok := strings.Cut(place, ":")
	switch {
	case !ok || strings.ContainsRune(scheme, '/'):
		return dirstore.Open(ctx, place, dirstore.Options{Logger: log})
	case scheme == "dir" && path != "":
		return dirstore.Open(ctx, path, dirstore.Options{Logger: log})
	case scheme == "nfs" && path != "":
		driver, err := dirstore.Open(ctx, path, dirstore.Options{Logger: log, Existing: true})
		return driver, c.notMounted(err)
	case scheme == "s3":
		config, err := bucketstore.ParseURL(place)
		if err != nil {
			return nil, usageError{fmt.Errorf("--store: %w", err)}
		}
		config.Logger = log
		driver, err := bucketstore.Open(ctx, config)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", place, err)
		}
		return driver, nil
	}
	return nil, usage("--store %s: this build supports %s", place, storeSchemes)
}

// openMemory opens an empty registry and an empty store that vanish again; b
// may hold a driver that was opened in vain.
func openMemory(ctx context.Context, b *backends) (*backends, error) {
	if err := b.Close(); err != nil {
		return nil, err
	}
	db := memkv.New(memkv.Options{})
	r, err := registry.Open(ctx, db.Client(), registry.Options{})
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	return &backends{registry: r, store: store.New(memstore.New())}, nil
}

// sqlitePath is the location of the embedded registry, if it is used.
func (c *cli) sqlitePath() string {
	if path, ok := strings.CutPrefix(c.global.registry, "sqlite:"); ok {
		return path
	}
	return filepath.Join(c.global.data, "registry.db")
}

// embedded reports whether the registry is a file of this machine.
func (c *cli) embedded() bool { return c.registryPlace() == c.sqlitePath() }

// registryPlace is how messages name the registry.
func (c *cli) registryPlace() string {
	if c.global.registry == "" || strings.HasPrefix(c.global.registry, "sqlite:") {
		return c.sqlitePath()
	}
	return c.global.registry
}

// storePlace is how messages name the store.
func (c *cli) storePlace() string {
	return cmp.Or(c.global.store, filepath.Join(c.global.data, "store"))
}
