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

// duties are the duties of a leading node of the command line.
func (c *cli) duties(from *assembly.Backends, o serveOptions, log *slog.Logger) []node.Duty {
	runner := hook.New(hook.Options{
		Find: hook.Dir{Path: o.hooks}.Find, Tag: serve.ReleaseTag, Logger: log, Timeout: o.hookTimeout, Tries: o.hookTries,
	})
	all := []node.Duty{{Name: "hooks", Run: runner.Run}}
	if !c.private() { // otherwise each node deletes taken-down bytes from its own store
		all = append(all, node.Duty{Name: "takedown", Run: takedownDuty(from, log)})
	}
	return all
}

// How long status reports a hook's failures after delivery was abandoned, and how many
// per hook.
const (
	missedToldFor  = 7 * 24 * time.Hour
	missedToldMost = 3
)

// hookProblems reports failing hooks, and events whose delivery was abandoned.
func hookProblems(hooks []hookDoc, now time.Time) (problems []problem) {
	for _, h := range hooks {
		if f := h.Failing; f != nil && f.Tries == 0 {
			problems = append(problems, problem{
				fmt.Sprintf("%s waits with %s: %s", hookOf(h.App, h.Hook), eventOf(f.Event), f.Error), degraded,
				"define this hook on the leading node (serve --hooks), or remove it from the app's setting hooks",
			})
		} else if f != nil {
			problems = append(problems, problem{
				fmt.Sprintf("%s fails for %s (%s, the last %s): %s", hookOf(h.App, h.Hook), eventOf(f.Event), tries(f.Tries), humanTime(f.Tried, now), f.Error), degraded,
				"look at the log of the leading node; the hook will be retried",
			})
		}
		problems = append(problems, missedProblems(h, now)...)
	}
	return problems
}

// missedProblems reports events of a hook that were abandoned and not delivered since,
// the last first.
func missedProblems(h hookDoc, now time.Time) (problems []problem) {
	for i, m := range slices.Backward(h.Missed) {
		if now.Sub(m.Tried) >= missedToldFor {
			break
		}
		if len(problems) == missedToldMost {
			return append(problems, problem{fmt.Sprintf("%s failed permanently for %s before", hookOf(h.App, h.Hook), count(i+1, "event")), degraded, "holdfast hooks lists them"})
		}
		next := "holdfast hooks --retry retries it"
		if m.Again {
			next = "it will be retried"
		}
		problems = append(problems, problem{fmt.Sprintf("%s failed permanently for %s, %s after %s: %s", hookOf(h.App, h.Hook), eventOf(m.Event), humanTime(m.Tried, now), tries(m.Tries), m.Error), degraded, next})
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

// anyEvent is the meaning of --retry without an ID.
const anyEvent = "all"

func (c *cli) hooksCommand() *cobra.Command {
	var app holdfast.AppName
	var retry string
	cmd := &cobra.Command{
		Use:   "hooks",
		Short: "Show hook deliveries; retry failed ones",
		Long: `Shows the hooks of the apps, the progress of each, and its failed events that have
not been delivered since: the last 50 of each hook, with the last error.

With --retry the leading node delivers them again, before newer events, in the
order in which they failed and with as many tries as a new event gets. An event
keeps its ID and its time: a receiver that remembers IDs may have seen it already,
and later events may have arrived in between. --retry=EVENT retries one event, by
its ID or the beginning of it, as shown.

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
	flags.Var(&value[string]{&retry, parseEventID, "event", ""}, "retry", "retry failed events, or only this one")
	flags.Lookup("retry").NoOptDefVal = anyEvent
	jsonFlag(flags)
	return cmd
}

// hooksDoc is the JSON output of hooks.
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
		return "", fmt.Errorf("want the ID of an event, or at least its first %d hexadecimal digits", shownID)
	}
	return text, nil
}

// hooks returns the progress of the hooks, of one app if that is not zero.
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

// retryHooks makes hooks retry abandoned events: one, or all of them.
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
			c.ui.say("%s will be retried for %s", strings.TrimSuffix(hookOf(h.App, h.Name), ":"), eventOf(m.Event))
		}
		found += len(chosen)
	}
	switch _, led, err := b.registry.Leader(ctx); {
	case err != nil:
		return fmt.Errorf("look for the leader: %w", err)
	case found == 0 && event == anyEvent:
		c.ui.say("no hook was given up")
	case found == 0:
		return hinted(missing("no hook failed permanently for event %s", event), "%s hooks lists those events", c.program)
	case !led:
		c.ui.warn(c.program+" serve starts one", "no node leads: hooks run once one does")
	}
	return nil
}
