package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/durable"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/origin"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/replica"
)

// copyOptions are the flags of serve for copies of what other nodes brought.
type copyOptions struct {
	copies int
	rate   int64
}

// mostCopies is far more than anybody needs.
const mostCopies = 100

func (o *copyOptions) flags(flags *pflag.FlagSet) {
	o.copies, o.rate = 2, 32<<20
	flags.Var(&value[int]{&o.copies, parseCopies, "number", "2"}, "copies", "without a shared store: on how many other nodes each build of a node should be; 0: this node copies nothing")
	flags.Var(&value[int64]{&o.rate, parseCopyRate, "rate", "32MiB/s"}, "copy-rate", "how fast this node copies builds of others, at most")
	configurable(flags, "copies", "copy-rate")
}

func parseCopies(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > mostCopies {
		return 0, fmt.Errorf("want a number from 0 to %d", mostCopies)
	}
	return n, nil
}

func parseCopyRate(text string) (int64, error) {
	n, err := parseSize(strings.TrimSuffix(text, "/s"))
	if err != nil || n < replica.LeastRate {
		return 0, errors.New("want a rate of at least 1MiB/s: a node that gives less is taken for broken by the others")
	}
	return n, nil
}

// replica says how what nodes bring is copied; nil where all share a store.
func (c *cli) replica(o copyOptions, from *origin.Origin, log *slog.Logger) (*replica.Config, error) {
	if !c.private() {
		return nil, nil
	}
	floor, err := pruneFloor()
	if err != nil {
		return nil, err
	}
	clean := func() (func() error, error) {
		l, err := durable.Lock(c.ownLock(), true)
		if errors.Is(err, durable.ErrLocked) {
			err = fmt.Errorf("%w: %w", holdfast.ErrConflict, err)
		}
		if err != nil {
			return nil, err
		}
		return l.Close, nil
	}
	return &replica.Config{Copies: o.copies, Rate: o.rate, Store: from.Store, Lock: clean, Logger: log, Floor: floor}, nil
}

// ownLock is the file that who stores something in a node's own store has locked
// together with others, and who cleans it alone.
func (c *cli) ownLock() string { return filepath.Join(c.global.data, "store.lock") }

// holdOwn keeps a store that is a node's own from being cleaned until it is closed.
func (c *cli) holdOwn(ctx context.Context) (io.Closer, error) {
	for {
		l, err := durable.Lock(c.ownLock(), false)
		if !errors.Is(err, durable.ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, hinted(fmt.Errorf("use store %s: %w: the node that it is of cleans it", c.storePlace(), holdfast.ErrConflict), "wait a minute, and run the same command again")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// storesForNodes refuses a store in the data directory while nodes run of which none can
// get what is published there: they share another one, or have their own, and that of no
// running node is this one.
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
