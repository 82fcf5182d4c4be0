package main

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

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
func duties(o serveOptions, log *slog.Logger) []node.Duty {
	runner := hook.New(hook.Options{
		Find: hook.Dir{Path: o.hooks}.Find, Tag: serve.ReleaseTag, Logger: log, Timeout: o.hookTimeout, Tries: o.hookTries,
	})
	return []node.Duty{{
		Name: "hooks",
		Run:  runner.Run,
	}}
}

// hookProblems says what is wrong with hooks; what was given up, for a day.
func hookProblems(hooks []registry.Hook, now time.Time) (problems []string) {
	for _, h := range hooks {
		if f := h.Failing; f != nil && f.Tries == 0 {
			problems = append(problems, fmt.Sprintf("%s waits with %s: %s", hookOf(h), eventOf(f.Event), f.Error))
		} else if f != nil {
			problems = append(problems, fmt.Sprintf("%s fails for %s (%s, the last %s): %s", hookOf(h), eventOf(f.Event), tries(f.Tries), humanTime(f.Tried, now), f.Error))
		}
		if f := h.Last; f != nil && now.Sub(f.Tried) < 24*time.Hour {
			problems = append(problems, fmt.Sprintf("%s was given up for %s, %s after %s: %s", hookOf(h), eventOf(f.Event), humanTime(f.Tried, now), tries(f.Tries), f.Error))
		}
	}
	return problems
}

func hookOf(h registry.Hook) string { return fmt.Sprintf("app %s, hook %s:", h.App, h.Name) }

func eventOf(e registry.Event) string { return fmt.Sprintf("%s of %s", e.Kind, e.Release) }

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return grouped(n) + " tries"
}
