package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/hook"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/serve"
)

// leastHookTimeout is the shortest time that a try of a hook can be given.
const leastHookTimeout = 100 * time.Millisecond

func parseTries(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("want a number from 1 to 100")
	}
	return n, nil
}

// checkHooks finds out before anything listens whether there are hooks where the
// flag says.
func checkHooks(o serveOptions) error {
	if o.hookTimeout < leastHookTimeout {
		return usage("--hook-timeout=%s: want %s at the least", o.hookTimeout, leastHookTimeout)
	}
	if o.hooks == "" {
		return nil
	}
	if _, err := os.ReadDir(o.hooks); err != nil {
		return hinted(fmt.Errorf("look for hooks: %w", err), "--hooks wants a directory of commands and webhooks")
	}
	return nil
}

// duties are what a node of the command line does all the time when it leads.
func (c *cli) duties(from *assembly.Backends, o serveOptions, log *slog.Logger) []node.Duty {
	runner := hook.New(hook.Options{
		Find: hook.Dir{Path: o.hooks}.Find, Tag: serve.ReleaseTag, Logger: log, Timeout: o.hookTimeout, Tries: o.hookTries,
	})
	all := []node.Duty{{Name: "hooks", Run: runner.Run}}
	if !c.private() { // else each node removes from its own store what was taken down
		all = append(all, node.Duty{Name: "takedown", Run: takedownDuty(from, log)})
	}
	return all
}

// A hook's failures are told by status for so long after the event was given up, and
// so many of each hook.
const (
	missedToldFor  = 7 * 24 * time.Hour
	missedToldMost = 3
)

// hookProblems says what is wrong with hooks, and what they were given up for.
func hookProblems(hooks []hookDoc, now time.Time) (problems []problem) {
	for _, h := range hooks {
		if f := h.Failing; f != nil && f.Tries == 0 {
			problems = append(problems, problem{
				fmt.Sprintf("%s waits with %s: %s", hookOf(h.App, h.Hook), eventOf(f.Event), f.Error), degraded,
				"give the node that leads this hook (serve --hooks), or take it out of the app's setting hooks",
			})
		} else if f != nil {
			problems = append(problems, problem{
				fmt.Sprintf("%s fails for %s (%s, the last %s): %s", hookOf(h.App, h.Hook), eventOf(f.Event), tries(f.Tries), humanTime(f.Tried, now), f.Error), degraded,
				"look at the log of the node that leads; the hook is tried again",
			})
		}
		problems = append(problems, missedProblems(h, now)...)
	}
	return problems
}

// missedProblems tells what a hook was given up for and was not run for since, the
// last first.
func missedProblems(h hookDoc, now time.Time) (problems []problem) {
	for i, m := range slices.Backward(h.Missed) {
		if now.Sub(m.Tried) >= missedToldFor {
			break
		}
		if len(problems) == missedToldMost {
			return append(problems, problem{fmt.Sprintf("%s was given up for %s before", hookOf(h.App, h.Hook), count(i+1, "event")), degraded, "holdfast hooks lists them"})
		}
		next := "holdfast hooks --retry runs it again"
		if m.Again {
			next = "it is to be run again"
		}
		problems = append(problems, problem{fmt.Sprintf("%s was given up for %s, %s after %s: %s", hookOf(h.App, h.Hook), eventOf(m.Event), humanTime(m.Tried, now), tries(m.Tries), m.Error), degraded, next})
	}
	return problems
}

func hookOf(app holdfast.AppName, name holdfast.HookName) string {
	return fmt.Sprintf("app %s, hook %s:", app, name)
}

func eventOf(e registry.Event) string {
	if e.Release.IsZero() { // of a takedown
		return fmt.Sprintf("%s of %s", e.Kind, some(e.Files, 3))
	}
	return fmt.Sprintf("%s of %s", e.Kind, e.Release)
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return grouped(n) + " tries"
}

// anyEvent is what --retry stands for without an ID.
const anyEvent = "all"

func (c *cli) hooksCommand() *cobra.Command {
	var app holdfast.AppName
	var retry string
	cmd := &cobra.Command{
		Use:   "hooks",
		Short: "Show how far hooks are, and run again what they were given up for",
		Long: `Shows the hooks of the apps, how far each is, and the events that it was given up
for and has not been run for since: the last 50 of each hook, with the last error.

With --retry the leading node runs hooks for them again, before the events that
come after that, in the order in which they were given up and with as many tries as
a new event gets. An event has the ID and the time that it had: a receiver that
remembers IDs may have seen it already, and others may have come in between.
--retry=EVENT does so for one event, by its ID or the beginning of that, as it is
shown.

JSON keys: hooks (as in holdfast status), and with --retry: retried (app, hook,
event: id, event, app, side, release, previous, time, by).`,
		Example: `  holdfast hooks
  holdfast hooks --app shop --retry
  holdfast hooks --retry=3e52651b`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withRegistry(cmd.Context(), func(b *backends) error {
				hooks, err := b.hooks(cmd.Context(), app)
				if err != nil {
					return err
				}
				doc := hooksDoc{Hooks: each(hooks, docOfHook)}
				c.ui.report(&doc)
				if retry == "" {
					c.showHooks(hooks)
					return nil
				}
				return c.retryHooks(cmd.Context(), b, hooks, retry, &doc)
			})
		},
	}
	flags := cmd.Flags()
	flags.Var(&value[holdfast.AppName]{&app, holdfast.ParseAppName, "name", ""}, "app", "this app alone")
	flags.Var(&value[string]{&retry, parseEventID, "event", ""}, "retry", "run again what was given up, or this event alone")
	flags.Lookup("retry").NoOptDefVal = anyEvent
	jsonFlag(flags)
	return cmd
}

// hooksDoc is what hooks prints with --json.
type hooksDoc struct {
	Hooks   []hookDoc `json:"hooks"`
	Retried []retried `json:"retried,omitempty"`
}

// retried is an event that a hook is to be run again for.
type retried struct {
	App   holdfast.AppName  `json:"app"`
	Hook  holdfast.HookName `json:"hook"`
	Event registry.Event    `json:"event"`
}

// shownID is how many characters of an event's ID are shown, and have to be given.
const shownID = 8

func parseEventID(text string) (string, error) {
	hex := strings.TrimLeft(text, "0123456789abcdef") == ""
	if text != anyEvent && (!hex || len(text) < shownID || len(text) > 32) {
		return "", fmt.Errorf("want the ID of an event, of which %d hexadecimal digits do", shownID)
	}
	return text, nil
}

// hooks returns how far the hooks are, of one app if that is not zero.
func (b *backends) hooks(ctx context.Context, app holdfast.AppName) ([]registry.Hook, error) {
	if !app.IsZero() {
		if _, err := b.app(ctx, app); err != nil {
			return nil, err
		}
	}
	snap, err := b.registry.Refresh(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("look at hooks: %w", err)
	}
	hooks, err := b.registry.Hooks(ctx, snap)
	if err != nil {
		return nil, fmt.Errorf("look at hooks: %w", err)
	}
	return slices.DeleteFunc(hooks, func(h registry.Hook) bool { return !app.IsZero() && h.App != app }), nil
}

func (c *cli) showHooks(hooks []registry.Hook) {
	if len(hooks) == 0 {
		c.ui.say("no hooks; holdfast app set NAME hooks=… names some")
		return
	}
	now := time.Now()
	var rows, missed [][]cell
	for _, h := range hooks {
		rows = append(rows, []cell{{h.Name.String(), bold}, {h.App.String(), plain}, hookState(h)})
		for _, m := range h.Missed {
			missed = append(missed, missedRow(h, m, now))
		}
	}
	c.ui.table([]string{"HOOK", "APP", "STATE"}, rows)
	if len(missed) == 0 {
		return
	}
	c.ui.say("")
	c.ui.table([]string{"GIVEN UP", "APP", "HOOK", "EVENT", "WHEN", "TRIES", "ERROR"}, missed)
	c.next("hooks --retry")
}

func hookState(h registry.Hook) cell {
	switch f := h.Failing; {
	case f == nil:
		return cell{"up to date", green}
	case f.Tries == 0:
		return cell{"waits with " + eventOf(f.Event) + ": " + f.Error, yellow}
	default:
		return cell{"fails for " + eventOf(f.Event) + ", " + tries(f.Tries) + ": " + f.Error, yellow}
	}
}

func missedRow(h registry.Hook, m registry.Missed, now time.Time) []cell {
	cause := m.Error
	if m.Again {
		cause += " (to be run again)"
	}
	return cells(m.Event.ID[:shownID], h.App.String(), h.Name.String(), eventOf(m.Event), humanTime(m.Tried, now), grouped(m.Tries), cause)
}

// retryHooks has hooks run again for what they were given up for: for one event, or
// for all of them.
func (c *cli) retryHooks(ctx context.Context, b *backends, hooks []registry.Hook, event string, doc *hooksDoc) error {
	wanted := func(m registry.Missed) bool { return event == anyEvent || strings.HasPrefix(m.Event.ID, event) }
	found := 0
	for _, h := range hooks {
		if !slices.ContainsFunc(h.Missed, wanted) {
			continue
		}
		chosen, err := b.registry.RetryHook(ctx, h.App, h.Name, wanted)
		if err != nil {
			return err
		}
		for _, m := range chosen {
			doc.Retried = append(doc.Retried, retried{h.App, h.Name, m.Event})
			c.ui.say("%s is to be run again for %s", strings.TrimSuffix(hookOf(h.App, h.Name), ":"), eventOf(m.Event))
		}
		found += len(chosen)
	}
	switch _, led, err := b.registry.Leader(ctx); {
	case err != nil:
		return fmt.Errorf("look for the leader: %w", err)
	case found == 0 && event == anyEvent:
		c.ui.say("no hook was given up")
	case found == 0:
		return hinted(missing("no hook was given up for event %s", event), "%s hooks lists those events", c.program)
	case !led:
		c.ui.warn(c.program+" serve starts one", "no node leads: hooks are run when one does")
	}
	return nil
}
