package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/front"
)

// devOptions are the flags of serve that show a directory as it changes.
type devOptions struct {
	dir   string
	mount string // "" for that of an app without settings
	spa   bool
}

func (d *devOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&d.dir, "dev", "", "for development: serve this `directory` as it changes, and nothing else")
	flags.Var(&value[string]{&d.mount, parseMountText, "path", ""}, "mount", "with --dev: the app's mount path (/, or /NAME for apps other than default)")
	flags.BoolVar(&d.spa, "spa", false, "with --dev: unknown routes get index.html (SPA fallback)")
}

func parseMountText(text string) (string, error) {
	m, err := holdfast.ParseMount(text)
	return m.String(), err
}

// checkDev refuses flags that mean something in development, or of a build, only.
func checkDev(o *serveOptions, flags *pflag.FlagSet) error {
	for _, name := range []string{"mount", "spa"} {
		if o.dev.dir == "" && flags.Changed(name) {
			return usage("--%s goes with --dev; published apps are mounted where the registry says: see holdfast app set", name)
		}
	}
	switch {
	case o.dev.dir != "" && o.build.dir != "":
		return usage("--dev and --build exclude each other: the one is for development, the other for production")
	case o.dev.dir == "" && o.build.dir == "" && flags.Changed("app"):
		return usage("--app goes with --build and --dev; published releases of all apps are served")
	}
	return nil
}

// serveDev serves a directory as it changes, until ctx ends. It writes nothing,
// and knows no registry and no store.
func (c *cli) serveDev(ctx context.Context, o serveOptions, log *slog.Logger) (err error) {
	d := o.dev
	settings := holdfast.DefaultSettings(o.app)
	mount := cmp.Or(d.mount, settings.Mount.String())
	assets, err := asset.Open(d.dir, asset.Options{App: o.app.String(), Mount: mount, SPA: d.spa, Dev: true, Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, assets.Close()) }()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	config := front.ServerConfig{Handler: assets, Log: log}
	scheme := "http"
	if o.certificates != nil {
		scheme, config.TLS = "https", o.certificates.TLS()
	}
	c.ui.say("serving %s as it changes at %s on %s: for development only", d.dir, mount, browsable(scheme, listener.Addr()))
	return runDev(ctx, front.NewServer(context.WithoutCancel(ctx), config), listener, o.drain)
}

// runDev serves until ctx ends, and then lets the requests in flight finish.
func runDev(ctx context.Context, s *front.Server, l net.Listener, drain time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	_ = s.Shutdown(ending) // it cuts off only a developer
	return <-done
}
