package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/metrics"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/packapi"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	listen, admin string
	reusePort     bool
	inherited     node.Inherited
	side          holdfast.Side
	cert, key     string
	certificates  *front.Certificates // once they are loaded; nil without TLS
	memory        int64
	accessLog     string
	access        func(*http.Request, serve.Access) // its writer; nil for none
	linesLost     func() int64                      // by it
	clients       clientOptions
	logFormat     string
	debugHeaders  bool
	http          string
	name          string
	poll, drain   time.Duration
	notice        time.Duration
	prune         time.Duration
	scrub         time.Duration
	scrubRate     int64
	cache         int64
	deltas        int64
	accept        string
	hooks         string
	hookTimeout   time.Duration
	hookTries     int
	app           holdfast.AppName // of build and dev
	dev           devOptions
	peers         peerOptions
	build         buildOptions
	copies        copyOptions
}

func (c *cli) serveCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a node that serves all apps",
		Long: `Runs a node: it serves every release that is published, live or draining, under
its own URLs, and what is live on --side under plain URLs. It picks up
releases and activations automatically, without a restart.

With --tls-cert and --tls-key it speaks HTTPS with HTTP/2, else HTTP/1.1 and
HTTP/2 in cleartext; changed certificate files are loaded within a minute.

The node that leads runs the hooks of apps (holdfast app set NAME hooks=purge)
when a release becomes live, retired or gone. --hooks is where it finds them: of
the hook purge, an executable purge, or the URL of a webhook in purge.url. Nodes
that may lead need the same ones.

With --build the node serves a build that it brings with it, without a publish, as
a release that is live while a node that brought it is running. Its own pages and
plain URLs are those of this build; all nodes answer for its files. Without a
shared store, --copies other nodes copy it into their own.

With --peer-listen and a secret, nodes fetch from each other what the store does
not give, or not in time: objects, manifests and inventories, by their digests.

The admin address answers /healthz (the process runs), /readyz (it can answer for
all releases; if not, why) and /metrics (for Prometheus). Keep it away from the
public.

A store that does not answer when a node starts is waited for: until it is there,
what the node has not kept answers 503. A store that is wrong, such as a bucket
that does not exist or the store of another registry, ends the node at once.

SIGHUP opens the access log again, after it was renamed, and reads certificates
again. SIGTERM or Ctrl-C drains: no new connections, requests in flight are
finished, at most for --drain. A second one ends the process at once. Logs go to
standard error. The access log has one JSON object a line: time, remote, method,
host, uri, proto, status, bytes, ms, app, release, hot, delta, referer, agent.

With --dev DIR it serves a directory as it changes, for development: no answer is
stored, or is "304 Not Modified". Neither registry nor store is needed, and nothing
is written. Of the other flags --listen, --tls-cert, --tls-key, --log-format and
--drain count.`,
		Example: `  holdfast serve
  holdfast serve --listen 10.0.0.7:80 --side canary --memory 1GiB
  holdfast serve --build ./dist --app shop
  holdfast serve --listen :443 --tls-cert cert.pem --tls-key key.pem --access-log access.log
  holdfast serve --dev ./dist --spa`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkDev(&o, cmd.Flags()); err != nil {
				return err
			}
			return c.serve(cmd.Context(), o)
		},
	}
	o.flags(cmd.Flags())
	groupFlags(cmd,
		flagGroup{"HTTPS and logs", []string{"tls-cert", "tls-key", "access-log", "log-format"}},
		flagGroup{"Behind a proxy or load balancer", []string{"trusted-proxies", "client-header", "proxy-protocol", "drain", "notice", "reuse-port"}},
		flagGroup{"Memory and disk", []string{"memory", "cache", "deltas"}},
		flagGroup{"A build that this node brings", []string{"build", "app", "identity", "as-is", "create", "copies", "copy-rate", "host-id"}},
		flagGroup{"Nodes that fetch from each other", []string{"peer-listen", "peer-address", "peer-secret-file", "peer-ca", "peer-cert", "peer-key"}},
		flagGroup{"Work of the node that leads", []string{"prune", "scrub", "scrub-rate", "hooks", "hook-timeout", "hook-tries"}},
		flagGroup{"Development", []string{"dev", "mount", "spa"}},
		flagGroup{"Seldom needed", []string{"poll", "http", "debug-headers", "accept-registry"}},
	)
	return cmd
}

func (o *serveOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.listen, "listen", ":8080", "the `address` to serve the apps on")
	flags.StringVar(&o.admin, "admin", "127.0.0.1:8081", "the `address` of /healthz, /readyz and /metrics; off: none")
	flags.BoolVar(&o.reusePort, "reuse-port", false, "let the node that will replace this one listen on the same addresses already (SO_REUSEPORT)")
	sideFlag(flags, &o.side, "the side this node belongs to")
	flags.StringVar(&o.cert, "tls-cert", "", "serve HTTPS with the certificate chain in this PEM `file`")
	flags.StringVar(&o.key, "tls-key", "", "the private key that goes with --tls-cert, a PEM `file`")
	o.memory = 256 << 20
	flags.Var(&value[int64]{&o.memory, parseSize, "size", "256MiB"}, "memory", "how much to keep in memory for speed")
	flags.StringVar(&o.accessLog, "access-log", "", "append a line for each answer to this `file`; -: standard output")
	choiceFlag(flags, &o.logFormat, "log-format", "the form of the log", "text", "json")
	choiceFlag(flags, &o.http, "http", "what answers HTTP/2 and plain HTTP/1.1 requests: shells made for them, or net/http, which answers all others", "fast", "standard")
	flags.BoolVar(&o.debugHeaders, "debug-headers", false, "say in each answer which node and release it comes from")
	flags.StringVar(&o.name, "name", "", "the node's `name` in status (the host's name)")
	durationFlag(flags, &o.poll, "poll", 5*time.Second, "how often to read the registry without being told to")
	durationFlag(flags, &o.drain, "drain", 20*time.Second, "how long requests in flight may take at the end")
	durationFlag(flags, &o.notice, "notice", 0, "how long /readyz says no before connections are refused")
	o.cache = cacheByStore
	flags.Var(&value[int64]{&o.cache, parseCache, "size", ""}, "cache", "how much of a shared store to keep on this machine's disk; off: nothing (8GiB; off for the store in --data)")
	o.deltas = assembly.DeltaMemory
	flags.Var(&value[int64]{&o.deltas, parseDeltas, "size", "32MiB"}, "deltas", "how much to keep in memory of deltas, for browsers that have an earlier release; off: none are made")
	o.prune = time.Hour
	flags.Var(&value[time.Duration]{&o.prune, parseEvery, "duration", "1h"}, "prune", "how often to retire and remove what no release needs, if this node leads; off: never")
	o.scrub, o.scrubRate = 7*24*time.Hour, 20_000_000
	flags.Var(&value[time.Duration]{&o.scrub, parseEvery, "duration", "7d"}, "scrub", "how often to verify all that is stored, if this node leads; off: never")
	rateFlag(flags, &o.scrubRate, "scrub-rate", "20MB/s", "how fast to read for that")
	flags.StringVar(&o.accept, "accept-registry", "", "let the registry with this `identity` take the place of the one this node knows")
	flags.StringVar(&o.hooks, "hooks", "", "the `directory` of the commands and webhooks that apps name as their hooks")
	durationFlag(flags, &o.hookTimeout, "hook-timeout", 30*time.Second, "how long one try of a hook may take")
	o.hookTries = 10
	flags.Var(&value[int]{&o.hookTries, parseTries, "number", "10"}, "hook-tries", "how often a hook is tried for one event")
	o.app = holdfast.DefaultApp()
	flags.Var(&value[holdfast.AppName]{&o.app, holdfast.ParseAppName, "name", o.app.String()}, "app", "with --build or --dev: the app it is the build of")
	o.clients.flags(flags)
	o.dev.flags(flags)
	o.peers.flags(flags)
	o.build.flags(flags)
	o.copies.flags(flags)
	configurable(flags, "listen", "admin", "reuse-port", "tls-cert", "tls-key", "memory", "access-log", "log-format", "debug-headers", "http", "name", "poll", "drain",
		"notice", "cache", "deltas", "prune", "scrub", "scrub-rate", "hooks", "hook-timeout", "hook-tries")
}

func (c *cli) serve(ctx context.Context, o serveOptions) (err error) {
	if (o.cert == "") != (o.key == "") {
		return usage("--tls-cert and --tls-key go together")
	}
	for _, flag := range []struct{ name, address string }{{"listen", o.listen}, {"admin", o.admin}} {
		if flag.address != "off" && !isAddress(flag.address) {
			return usage("--%s %s: want host:port or :port", flag.name, flag.address)
		}
	}
	if err := checkHooks(o); err != nil {
		return err
	}
	if err := o.peers.check(); err != nil {
		return err
	}
	if err := o.clients.check(); err != nil {
		return err
	}
	log, done := c.outlast(o.logFormat)
	defer done()
	reload := newReloads(log)
	defer reload.stop()
	if err := o.loadCertificates(log); err != nil {
		return err
	}
	reload.add(o.certificates)
	if o.dev.dir != "" {
		return c.serveDev(ctx, o, log)
	}
	if o.inherited, err = inheritedSockets(); err != nil {
		return err
	}
	build, err := c.ownBuild(o, log)
	if err != nil {
		return err
	}
	if o.peers.peering, err = c.peering(&o.peers, log); err != nil {
		return err
	}
	reload.add(o.peers.certificates)
	from, err := c.origin(ctx, o.build.opening(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if o.build.own, err = c.bring(ctx, from, build, o.build.dir); err != nil {
		return err
	}
	closeAccess, err := c.accessLog(&o, reload, log)
	if err != nil {
		return err
	}
	defer closeAccess()
	n, err := c.listen(ctx, from, o, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	watching, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { manager{log}.watch(watching, n.Node, o) })
	watch.Go(func() { c.announce(watching, from, n.Node, o) })
	defer watch.Wait()
	defer unwatch()
	defer context.AfterFunc(ctx, func() {
		c.ui.note("shutting down (up to %s for open requests; Ctrl-C again to force)", humanDuration(o.notice+o.drain))
	})()
	return n.Run(ctx)
}

// isAddress reports whether text is host:port, with a port that there can be.
func isAddress(text string) bool {
	_, port, err := net.SplitHostPort(text)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && strconv.FormatUint(n, 10) == port
}

// listen opens a node with its listeners. Whoever ran the node closes it.
func (c *cli) listen(ctx context.Context, from *assembly.Backends, o serveOptions, log *slog.Logger) (n *assembly.Node, err error) {
	config, err := c.assembled(from, o, log)
	if err != nil {
		return nil, err
	}
	var api *packapi.API // for programs that add packs; nil without an admin address
	if config.Node.Admin != "" || config.Node.Inherited.Admin != nil {
		if api, err = c.packAPI(); err != nil {
			return nil, err
		}
		config.Node.Packs = api
	}
	n, err = assembly.Open(ctx, config)
	if err == nil && api != nil {
		api.Use(c.packs(n, &config, o))
	}
	if errors.Is(err, syscall.EADDRINUSE) && o.reusePort {
		err = hinted(err, "what listens there shares its addresses with nobody: a node that hands over was started with --reuse-port itself, by the same user; or choose other addresses with --listen and --admin")
	}
	return n, err
}

// assembled converts the flags to a node's configuration.
func (c *cli) assembled(from *assembly.Backends, o serveOptions, log *slog.Logger) (config assembly.Config, err error) {
	if o.admin == "off" {
		o.admin = ""
	}
	config = assembly.Config{
		Node: node.Config{
			Name: o.name, Version: programVersion(), Side: o.side, Logger: log, Own: o.build.own,
			Listen: o.listen, Admin: o.admin, ReusePort: o.reusePort, Inherited: o.inherited, Certificates: o.certificates, ProxyProtocol: o.clients.protocolProxies(),
			Standard: o.http == "standard", DebugHeaders: o.debugHeaders, Access: o.access, Poll: o.poll, Drain: o.drain, Notice: o.notice,
			StateDir: c.stateDir(), AcceptRegistry: o.accept, Host: o.copies.host,
		},
		Backends: from, Memory: o.memory, Spool: c.dataDir().Spool(), DeltaMemory: o.deltas,
		LocalStore: c.ownStore(), Copies: o.copies.copies, CopyRate: o.copies.rate,
		Peering: o.peers.peering, Lead: &assembly.Lead{Duties: c.duties(from, o, log)}, Metrics: metrics.New(programVersion()), LinesLost: o.linesLost,
	}
	if c.caches(o) {
		config.Cache, config.CacheBytes = c.dataDir().Objects(), max(o.cache, 0)
	}
	if config.Floor, err = pruneFloor(); err != nil {
		return config, err
	}
	config.Lead.Chores = c.chores(&config, o)
	return config, nil
}

// showsOf describes what this node serves for an app.
func (c *cli) showsOf(a *registry.AppState, o serveOptions) string {
	own, live := o.build.own[a.Name], liveOn(a, o.side)
	switch {
	case !own.IsZero():
		return fmt.Sprintf("release %s is live (this node's own build)", own)
	case !live.IsZero():
		return fmt.Sprintf("release %s is live", live)
	case a.Local:
		return "its releases come from nodes with builds, and this node has none; its pages answer 503 here"
	}
	create := ""
	if a.CheckSide(o.side) != nil {
		create = " --create"
	}
	return fmt.Sprintf("no live release on side %s; its pages answer 503 until you run %s activate RELEASE%s%s", o.side, c.program, flipFlags(a.Name, o.side), create)
}

func sideValue(side holdfast.Side) string {
	if side == holdfast.DefaultSide() {
		return ""
	}
	return "=" + side.String()
}

func (c *cli) dataPlace() string {
	if abs, err := filepath.Abs(c.global.data); err == nil {
		return abs
	}
	return c.global.data
}

func liveOn(a *registry.AppState, side holdfast.Side) holdfast.ReleaseID {
	for _, s := range a.Sides {
		if s.Side == side {
			return s.Live
		}
	}
	return holdfast.ReleaseID{}
}

// browsable turns a listener's address into a URL to open on this machine.
func browsable(scheme string, a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return scheme + "://" + a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
