package etcdkv

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/holdfast-web/holdfast/internal/kv"
)

const (
	// defaultTimeout is a little less than the time after which etcd itself gives up a
	// request.
	defaultTimeout = 5 * time.Second
	// A member that leaves requests unanswered for the sum of these is abandoned. gRPC
	// allows no shorter time.
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
)

// Config names the cluster and the way to reach it.
type Config struct {
	Endpoints []string // host:port of members
	Prefix    string   // of all keys, a path without slashes at its ends; "" is "holdfast"

	Username, Password string // "" without authentication; a password requires a user

	Secure bool        // use TLS, with the system's authorities unless TLS has others
	TLS    *tls.Config // authorities and client certificate; implies Secure

	// Timeout bounds how long one request waits for an answer; 0 is five seconds. Reads
	// are tried several times.
	Timeout time.Duration

	// Logger receives background failures: renewals and watches. By default they are
	// discarded.
	Logger *slog.Logger
}

// Open connects to a cluster and checks that it answers, accepts the user, and lets the
// user read and write the keys of the prefix.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	if err := c.fill(); err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	d, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("open etcd://%s: %w", strings.Join(c.Endpoints, ","), c.explain(ctx, err))
	}
	if err := d.check(ctx); err != nil {
		err = fmt.Errorf("open %s: %w", d.name, c.explain(ctx, err))
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (c Config) connect(ctx context.Context) (*Driver, error) {
	if c.Secure && c.TLS == nil {
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	scheme := "http://"
	if c.TLS != nil {
		scheme = "https://"
	}
	endpoints := make([]string, len(c.Endpoints))
	for i, e := range c.Endpoints {
		endpoints[i] = scheme + e
	}
	deadline, ok := ctx.Deadline()
	wait := 2 * c.Timeout
	if ok {
		wait = min(wait, time.Until(deadline))
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, TLS: c.TLS, Username: c.Username, Password: c.Password,
		DialTimeout:       max(wait, time.Millisecond), // of the login
		DialKeepAliveTime: pingAfter, DialKeepAliveTimeout: pingTimeout,
		MaxUnaryRetries: 1, // none: see the package comment
		DialOptions:     []grpc.DialOption{grpc.WithStatsHandler(departures{})},
		Logger:          zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	return &Driver{
		client: client, timeout: c.Timeout, keys: keyspace("/" + c.Prefix),
		name: "etcd://" + strings.Join(c.Endpoints, ",") + "/" + c.Prefix,
		log:  cmp.Or(c.Logger, slog.New(slog.DiscardHandler)),
	}, nil
}

// check sends a request that cannot succeed: etcd checks the permissions first, including
// write permission.
func (d *Driver) check(ctx context.Context) error {
	probe := d.keys.key("probe")
	never := clientv3.Compare(clientv3.ModRevision(probe), "=", -1)
	err := d.callWithRetry(ctx, func(ctx context.Context) error {
		_, err := d.client.Txn(ctx).If(never).Then(clientv3.OpPut(probe, "")).Commit()
		return err
	})
	if errors.Is(err, rpctypes.ErrNoSpace) {
		d.log.WarnContext(ctx, "etcd has no space left and accepts no changes", "registry", d.name)
		return nil // existing keys can be read
	}
	return err
}

// explain translates a failure to open for the operator.
func (c Config) explain(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return fmt.Errorf("%w: the user %q needs a role with read and write permission on the prefix /%s/: %w", kv.ErrDenied, c.Username, c.Prefix, err)
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return fmt.Errorf("%w: the user %q does not exist or has another password: %w", kv.ErrDenied, c.Username, err)
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return fmt.Errorf("%w: the cluster wants a user name and a password: %w", kv.ErrDenied, err)
	case errors.Is(err, clientv3.ErrNoAvailableEndpoints), isDeadline(err):
		return noAnswer{err, c.diagnose(ctx)}
	}
	return err
}

func isDeadline(err error) bool {
	return errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded)
}

// noAnswer reports how far the connection to each member gets.
type noAnswer struct {
	cause   error
	members []error
}

func (e noAnswer) Error() string {
	var parts []string
	for _, m := range e.members {
		parts = append(parts, m.Error())
	}
	return "no etcd answers: " + strings.Join(parts, "; ")
}

// Unwrap returns the failure of each member, and why the attempt ended.
func (e noAnswer) Unwrap() []error { return append(slices.Clone(e.members), e.cause) }

// diagnose tests how far a connection to each member gets.
func (c Config) diagnose(ctx context.Context) []error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	found := make([]error, len(c.Endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range c.Endpoints {
		wg.Go(func() { found[i] = fmt.Errorf("%s: %w", endpoint, c.dial(ctx, endpoint)) })
	}
	wg.Wait()
	return found
}

func (c Config) dial(ctx context.Context, endpoint string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", endpoint)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.TLS == nil && !c.Secure {
		return errors.New("connected, but no answer of an etcd with a quorum (does it want TLS?)")
	}
	host, _, _ := net.SplitHostPort(endpoint)
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		config = c.TLS.Clone()
		config.ServerName = cmp.Or(config.ServerName, host)
	}
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return errors.New("connected with TLS, but no answer of an etcd with a quorum (does it want a client certificate?)")
}
