package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/coding"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// demoSite holds two releases of a small site as its build tool wrote them.
//
//go:embed all:demosite/release-1 all:demosite/release-2
var demoSite embed.FS

const (
	demoPort  = 8080 // of the first node; the next free one if it is taken
	demoPorts = 50   // how many are tried
)

func (c *cli) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Look at a two-node cluster with two releases of a site",
		Long: `Runs a cluster to look at, in one process: two nodes on loopback, on the sides a
and b, and two releases of a small site; release-1 is live on a, release-2 on b.
It prints which pages to open and which commands to try from another terminal:
flip a side, roll it back, and see that pages that are open keep working.

Everything lies in a temporary directory that is removed at the end, or in --data,
which is kept. Ctrl-C ends it. The registry and store of your own configuration
are left alone.`,
		Example: `  holdfast demo
  holdfast demo --data ./demo-data`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			if flags.Changed("registry") || flags.Changed("store") {
				return hinted(usage("holdfast demo makes a registry and a store of its own"), "leave --registry and --store out; --data says where to keep them")
			}
			return c.demo(cmd.Context(), flags.Changed("data"))
		},
	}
}

// demo runs the demo in c.global.data if keep is set, else in a temporary
// directory.
func (c *cli) demo(ctx context.Context, keep bool) (err error) {
	c.global.registry, c.global.store = "", ""
	if !keep {
		dir, err := os.MkdirTemp("", "holdfast-demo-")
		if err != nil {
			return fmt.Errorf("make directory for the demo: %w", err)
		}
		defer func() {
			if removeErr := os.RemoveAll(dir); removeErr != nil {
				c.ui.warn("", "the demo's directory stays: %v", removeErr)
			}
		}()
		c.global.data = dir
	}
	c.ui.say("Holdfast demo: a cluster in the middle of a deployment. Two nodes on this machine, on the")
	c.ui.say("sides a and b; the new release has reached b alone.")
	if err := c.demoData(ctx); err != nil {
		return err
	}
	return c.demoNodes(ctx, keep)
}

// demoData publishes both releases and makes one live on each side.
func (c *cli) demoData(ctx context.Context) error {
	return c.with(ctx, create, func(b *backends) error {
		if err := b.onlyDemo(ctx); err != nil {
			return err
		}
		for i, id := range []string{"release-1", "release-2"} {
			p, err := c.publishDemo(ctx, b, id)
			if err != nil {
				return err
			}
			side, err := holdfast.ParseSide(string(rune('a' + i)))
			if err != nil {
				return err
			}
			if _, _, err := b.registry.Activate(ctx, p.App, p.Release, registry.ActivateOptions{Side: side, Create: true, Reason: registry.Reason{By: "holdfast demo"}}); err != nil {
				return err
			}
			c.ui.say("  published %s (%s, %s) and made it live on side %s", c.id(p.Release), count(p.Files, "file"), humanSize(p.Bytes), side)
		}
		return nil
	})
}

// onlyDemo fails if the registry holds releases that are not the demo's.
func (b *backends) onlyDemo(ctx context.Context) error {
	apps, err := b.registry.Apps(ctx)
	if err != nil {
		return err
	}
	for _, a := range apps {
		for _, r := range a.Releases {
			if text := r.ID.String(); a.Name != holdfast.DefaultApp() || text != "release-1" && text != "release-2" {
				return hinted(fmt.Errorf("--data holds release %s of app %s, which is not the demo's", r.ID, a.Name), "give the demo its own directory, or omit --data")
			}
		}
	}
	return nil
}

// publishDemo publishes a release of the embedded site.
func (c *cli) publishDemo(ctx context.Context, b *backends, name string) (p *published, err error) {
	dir, err := os.MkdirTemp(c.global.data, "site-")
	if err != nil {
		return nil, fmt.Errorf("unpack site: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	site, err := fs.Sub(demoSite, "demosite/"+name)
	if err != nil {
		return nil, fmt.Errorf("unpack site: %w", err)
	}
	if err := os.CopyFS(dir, site); err != nil {
		return nil, fmt.Errorf("unpack site: %w", err)
	}
	id, err := holdfast.ParseReleaseID(name)
	if err != nil {
		return nil, err
	}
	return c.publishBuild(ctx, b, dir, publishOptions{
		app: holdfast.DefaultApp(), release: id, effort: string(coding.Fast),
		maxSize: publish.DefaultMaxBytes, maxFiles: publish.DefaultMaxFiles,
	})
}

// demoNode is a node of the demo with separate backends, as on a separate machine.
type demoNode struct {
	*assembly.Node
	b *backends
}

// demoNodes runs a node for each side until ctx ends.
func (c *cli) demoNodes(ctx context.Context, keep bool) (err error) {
	var nodes []*demoNode
	defer func() {
		for _, n := range nodes {
			err = errors.Join(err, n.Close(), n.b.Close())
		}
	}()
	port := demoPort
	for _, name := range []string{"a", "b"} {
		n, err := c.demoNode(ctx, name, port)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
		port = n.Addr().(*net.TCPAddr).Port + 1
	}
	c.tellDemo(nodes, keep)
	var group errgroup.Group
	running, stop := context.WithCancel(ctx)
	defer stop()
	for _, n := range nodes {
		group.Go(func() error {
			defer stop() // one that fails ends the other
			return n.Run(running)
		})
	}
	err = group.Wait()
	if err == nil && !keep {
		c.ui.say("\ndemo ended; its directory is removed")
	}
	return err
}

// demoNode opens a node on the first free port from the given one on.
func (c *cli) demoNode(ctx context.Context, name string, port int) (*demoNode, error) {
	side, err := holdfast.ParseSide(name)
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx, create, nil)
	if err != nil {
		return nil, err
	}
	o := serveOptions{admin: "off", side: side, name: "node-" + name, memory: 64 << 20, poll: time.Second, drain: 2 * time.Second, debugHeaders: true}
	for last := port + demoPorts; ; port++ {
		o.listen = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		n, err := c.listen(ctx, assembly.BackendsOf(b.registry, b.store), o, slog.New(slog.DiscardHandler))
		if err == nil {
			return &demoNode{n, b}, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || port == last {
			return nil, errors.Join(err, b.Close())
		}
	}
}

func (c *cli) tellDemo(nodes []*demoNode, keep bool) {
	command := "holdfast --data " + shellWord(c.dataPlace())
	a, b := browsable("http", nodes[0].Addr()), browsable("http", nodes[1].Addr())
	c.ui.say("  started two nodes that serve both releases\n")
	c.ui.say("%s", bold.paint("Open", c.ui.outColor))
	c.ui.say("  %s/              side a, where release-1 is live", a)
	c.ui.say("  %s/              side b, where release-2 is live", b)
	c.ui.say("  %s/@release-2/   release-2 on side a, before it is live there\n", a)
	c.ui.say("%s, in another terminal, with the first page open", bold.paint("Then try", c.ui.outColor))
	c.ui.say("  %s activate release-2 --side a", command)
	c.ui.say("      press the page's buttons without reloading it: its old files still load")
	c.ui.say("  %s rollback --side a", command)
	c.ui.say("      a page of release-2 is now newer than its server, and still works")
	c.ui.say("  %s status", command)
	c.ui.say("  %s releases\n", command)
	if keep {
		c.ui.say("Ctrl-C ends the demo; %s is kept.", c.dataPlace())
		return
	}
	c.ui.say("Ctrl-C ends the demo and removes %s.", filepath.Clean(c.dataPlace()))
}
