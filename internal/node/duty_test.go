package node

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// told records the events of duties on all nodes.
type told struct {
	mu     sync.Mutex
	events []string
	failed bool
}

func (o *told) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

// run is a duty: it records the events of the hook purge. It fails the first time.
func (o *told) run(ctx context.Context, l *registry.Leadership, snapshots iter.Seq[*registry.Snapshot]) error {
	name, err := holdfast.ParseHookName("purge")
	if err != nil {
		return err
	}
	for range snapshots {
		hook, events, err := l.Registry().HookEvents(ctx, holdfast.DefaultApp(), name)
		if err != nil {
			return err
		}
		for i := range events {
			o.mu.Lock()
			first := !o.failed
			o.failed = true
			o.mu.Unlock()
			if first {
				return errors.New("the first time")
			}
			if hook, err = l.Registry().SaveHook(ctx, hook.Done(&events[i])); err != nil {
				return err
			}
			o.mu.Lock()
			o.events = append(o.events, string(events[i].Kind)+" "+events[i].Release.String())
			o.mu.Unlock()
		}
	}
	return nil
}

// TestDuty: the node that leads, whichever that is, hears of every change, also of
// one that zkCli.sh made, once it has a history entry.
func TestDuty(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Publish("v1", map[string]string{"index.html": "one"})
	w.Publish("v2", map[string]string{"index.html": "two"})
	_, err := w.Registry.SetApp(t.Context(), holdfast.DefaultApp(), true, func(s *holdfast.Settings) error { return s.Set("hooks", "purge") }, nil)
	w.Check(err)
	var nodes []*Node
	var stops []func() error
	var heard told
	for range 2 {
		c := w.config()
		_, c.Registry = w.Open(registry.Options{LeaderTTL: 2 * time.Second})
		c.Duties = []Duty{{Name: "hooks", Run: heard.run}}
		n, stop := w.start(c)
		nodes, stops = append(nodes, n), append(stops, stop)
	}
	want := []string{}
	for _, id := range []string{"v1", "v2"} {
		w.set("data/default/version/main", id)
		want = append(want, "activate "+id)
		holdtest.Eventually(t, "an event", func() bool { return len(heard.all()) >= len(want) })
		at := slices.IndexFunc(nodes, func(n *Node) bool { return n != nil && n.leading.Load() })
		w.Check(stops[at]())
		nodes[at] = nil
	}
	if diff := cmp.Diff(want, heard.all()); diff != "" {
		t.Error(diff)
	}
}
