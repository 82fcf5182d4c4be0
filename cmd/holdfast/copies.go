package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/replica"
)

// copyOptions are the flags of serve for copies of other nodes' builds.
type copyOptions struct {
	copies int
	rate   int64
	host   string
}

func (o *copyOptions) flags(flags *pflag.FlagSet) {
	o.copies, o.rate = assembly.Copies, assembly.Rate
	flags.Var(&value[int]{&o.copies, parseCopies, "number", "2"}, "copies", "without a shared store: on how many other nodes each build of a node should be; 0: this node copies nothing")
	flags.Var(&value[int64]{&o.rate, parseCopyRate, "rate", "32MiB/s"}, "copy-rate", "how fast this node copies builds of others, at most")
	flags.StringVar(&o.host, "host-id", "", "the `name` of this node's machine: copies go to other machines first (by default, nodes on one kernel are on one machine)")
	configurable(flags, "copies", "copy-rate", "host-id")
}

func parseCopies(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > assembly.MostCopies {
		return 0, fmt.Errorf("want a number from 0 to %d", assembly.MostCopies)
	}
	return n, nil
}

func parseCopyRate(text string) (int64, error) {
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil || n < replica.LeastRate {
		return 0, errors.New("want a rate of at least 1MiB/s: other nodes treat a slower node as broken")
	}
	return n, nil
}

// holdOwn keeps a store that is a node's own from being cleaned until it is closed.
func (c *cli) holdOwn(ctx context.Context) (io.Closer, error) {
	hold, err := c.ownStore().Hold(ctx)
	if errors.Is(err, holdfast.ErrConflict) {
		err = hinted(err, "wait a minute, and run the same command again")
	}
	return hold, err
}

// storesForNodes refuses a store in the data directory if running nodes could not read
// it: they share another one, or have their own, and none of them uses this one.
func (c *cli) storesForNodes(ctx context.Context, r *registry.Registry) error {
	if !c.private() {
		return nil
	}
	nodes, err := r.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Copies == nil {
			return hinted(usageError{fmt.Errorf("node %s could not serve what is stored in %s: it has another store", n.Name, c.storePlace())},
				"name the store that the nodes share with --store")
		}
	}
	if len(nodes) == 0 || node.Free(c.stateDir()) != nil {
		return nil //nolint:nilerr // a directory in use is that of a running node
	}
	return hinted(usageError{fmt.Errorf("no running node could serve what is stored in %s: each has a store of its own, and none uses this directory", c.storePlace())},
		"give the --data of a running node; or have nodes bring their builds: holdfast serve --build")
}
