package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// startQuietly is how long a node may take until clients can connect without a word.
const startQuietly = 2 * time.Second

// announce reports the node's addresses and apps, once clients can connect.
func (c *cli) announce(ctx context.Context, from *assembly.Backends, n *node.Node, o serveOptions) {
	select {
	case <-n.Listening():
	case <-time.After(startQuietly):
		c.ui.note("starting; clients can connect when this node can answer, or after 10 s")
	case <-ctx.Done():
	}
	select {
	case <-n.Listening():
	case <-ctx.Done():
		return
	}
	if err := c.tellServing(ctx, from, n, o); err != nil && ctx.Err() == nil {
		c.ui.warn("holdfast status shows what is live", "cannot show what this node serves: %v", err)
	}
}

// tellServing reports the node's addresses and apps. With the access log on standard
// output it goes to standard error. It is one write, because the log continues meanwhile.
func (c *cli) tellServing(ctx context.Context, from *assembly.Backends, n *node.Node, o serveOptions) error {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	tell := c.ui.say
	if o.accessLog == "-" {
		tell = c.ui.note
	}
	scheme := "http"
	if o.cert != "" {
		scheme = "https"
	}
	admin := ""
	if a := n.AdminAddr(); a != nil {
		admin = ", admin on " + browsable("http", a)
	}
	say("serving side %s on %s%s", o.side, browsable(scheme, n.Addr()), admin)
	if at := n.PeerAddr(); at != "" {
		say("answering other nodes on %s", at)
	}
	say("data in %s, memory %s", c.dataPlace(), humanMemory(o.memory))
	apps, err := c.sayApps(ctx, from, o, say)
	tell("%s", strings.Join(lines, "\n"))
	if c.private() && o.peers.listen == "" {
		c.ui.note("nodes share no store, and this one has no --peer-listen: it cannot exchange builds with other nodes; give all of them --peer-listen, or a --store")
	}
	c.warnOfSide(apps, o.side)
	return err
}

// sayApps reports what the node serves for each app.
func (c *cli) sayApps(ctx context.Context, from *assembly.Backends, o serveOptions, say func(string, ...any)) ([]*registry.AppState, error) {
	if from.Opened == nil {
		say("the registry is unreachable: serving from %s", c.stateDir())
		return nil, nil
	}
	if from.Reach != nil {
		say("the store %s is unreachable: files that this node has not cached answer 503 until it is back", c.storePlace())
	}
	apps, err := from.Opened.Apps(ctx)
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	if len(apps) == 0 {
		say("nothing is published yet: %s publish DIR --activate%s", c.program, sideValue(o.side))
	}
	for _, a := range apps {
		say("app %s at %s: %s", a.Name, a.Settings.Mount, c.showsOf(a, o))
	}
	return apps, nil
}

// warnOfSide warns of a side that no app has, though apps have sides.
func (c *cli) warnOfSide(apps []*registry.AppState, side holdfast.Side) {
	var known []string
	for _, a := range apps {
		for _, s := range a.Sides {
			if s.Side == side {
				return
			}
			if !slices.Contains(known, s.Side.String()) {
				known = append(known, s.Side.String())
			}
		}
	}
	if len(known) > 0 {
		slices.Sort(known)
		c.ui.warn(fmt.Sprintf("%sthe %s %s; holdfast activate RELEASE --side %s --create makes a new one", meant("", nearest(side.String(), known)), verb(len(known), "only side is", "sides are"), prose(known, "and"), side),
			"no app has a side %s: this node answers 503 for pages until a release is live there", side)
	}
}
