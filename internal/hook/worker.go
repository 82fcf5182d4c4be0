package hook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// worker takes one hook of one app through its events.
type worker struct {
	*Runner
	key
	leader *registry.Leadership
	news   wait.Hint // the app has changed
	told   string    // the last logged registry error, or missing hook
}

// run works until ctx or the leadership ends. While a failed event waits for its next
// try, newer events also wait.
func (w *worker) run(ctx context.Context) {
	for {
		pause, err := w.pass(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, holdfast.ErrLeaseLost):
			return
		case err != nil:
			pause = registryPause
			w.once(err.Error(), "events for hooks could not be read or marked as done", "error", err)
		}
		if pause > 0 {
			pause = pause/2 + rand.N(pause/2+1)
		}
		if !w.wait(ctx, pause) {
			return
		}
	}
}

// wait waits for a time, or for a change if that is zero. It returns false when ctx ends.
func (w *worker) wait(ctx context.Context, pause time.Duration) bool {
	if pause == 0 {
		select {
		case <-w.news:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	}
	return wait.For(ctx, pause) == nil
}

// pass delivers all pending events. It ends early, and says when to continue, when one
// fails.
func (w *worker) pass(ctx context.Context) (pause time.Duration, err error) {
	for {
		state, events, err := w.leader.Registry().HookEvents(ctx, w.app, w.name)
		if errors.Is(err, holdfast.ErrNotFound) {
			return 0, nil // removed; if it is set again there will be a change
		}
		if err != nil || len(events) == 0 {
			return 0, err
		}
		for i := range events {
			if state, pause, err = w.deliver(ctx, state, &events[i]); err != nil || pause > 0 {
				return pause, err
			}
		}
	}
}

// deliver tries one event once, unless it is too old and was not requested, and stores
// the result: done, or retry after a pause.
func (w *worker) deliver(ctx context.Context, state registry.Hook, e *registry.Event) (registry.Hook, time.Duration, error) {
	if age := w.Clock().Sub(e.Time); age > oldest && !e.Again {
		if state.Failing == nil || state.Failing.Event.ID != e.ID {
			state = state.Failed(e, false, w.now(), "it is older than a week")
		}
		return w.giveUp(ctx, state, e)
	}
	action, err := w.Find(w.name)
	if err != nil {
		return w.missing(ctx, state, e, err)
	}
	try := 1
	if f := state.Failing; f != nil && f.Event.ID == e.ID {
		try = f.Tries + 1
	}
	if err := w.leader.Verify(ctx); err != nil {
		return state, 0, fmt.Errorf("before hook %s: %w", w.name, err)
	}
	begun := time.Now()
	err = w.try(ctx, action, e, try)
	log := w.log(e).With("try", try, "ms", time.Since(begun).Milliseconds())
	switch {
	case err == nil:
		w.told = ""
		log.Info("hook ran")
		state, err = w.save(ctx, state.Done(e))
		return state, 0, err
	case ctx.Err() != nil:
		return state, 0, ctx.Err() // interrupted, which says nothing about the hook
	}
	state = state.Failed(e, true, w.now(), reason(err))
	if try >= w.Tries {
		log.Error("hook failed", "error", err, "output", output(err))
		return w.giveUp(ctx, state, e)
	}
	pause := min(firstPause<<min(try-1, 16), longestPause)
	log.Warn("hook failed, to be tried again", "error", err, "output", output(err), "within", pause)
	state, err = w.save(ctx, state)
	return state, pause, err
}

// try runs the hook when one of the slots is free.
func (w *worker) try(ctx context.Context, action Action, e *registry.Event, try int) error {
	select {
	case w.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.slots }()
	d, err := w.delivery(*e, w.name, try)
	if err != nil {
		return err
	}
	call, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	err = action.Run(call, d)
	if err != nil && call.Err() != nil && ctx.Err() == nil {
		err = &Failure{Reason: fmt.Sprintf("not done within %s", w.Timeout), Output: output(err)}
	}
	return err
}

// missing reports once, in the log and in the registry, that this node has no definition
// of the hook. The event waits until an operator adds it.
func (w *worker) missing(ctx context.Context, state registry.Hook, e *registry.Event, cause error) (registry.Hook, time.Duration, error) {
	w.once(cause.Error(), "hook is not set up on this node, which leads", "error", cause)
	if f := state.Failing; f != nil && f.Event.ID == e.ID && f.Error == reason(cause) {
		return state, undefinedPause, nil
	}
	state, err := w.save(ctx, state.Failed(e, false, w.now(), reason(cause)))
	return state, undefinedPause, err
}

func (w *worker) giveUp(ctx context.Context, state registry.Hook, e *registry.Event) (registry.Hook, time.Duration, error) {
	w.log(e).Error("hook given up", "tries", state.Failing.Tries, "reason", state.Failing.Error)
	state, err := w.save(ctx, state.PassOver(e))
	return state, 0, err
}

// save stores the progress of the hook, even after ctx has ended; only a leader can write
// it.
func (w *worker) save(ctx context.Context, state registry.Hook) (registry.Hook, error) {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return w.leader.Registry().SaveHook(call, state)
}

func (w *worker) now() time.Time { return w.Clock().UTC().Truncate(time.Second) }

func (w *worker) log(e *registry.Event) *slog.Logger {
	return w.Logger.With("hook", w.name.String(), "app", w.app.String(), "event", string(e.Kind), "release", e.Release.String(), "id", e.ID)
}

// once logs a warning unless it repeats the last one.
func (w *worker) once(text, message string, args ...any) {
	if w.told != text {
		w.told = text
		w.Logger.Warn(message, append([]any{"hook", w.name.String(), "app", w.app.String()}, args...)...)
	}
}

// reason is the part of an error that the registry stores.
func reason(err error) string {
	const most = 300
	text := err.Error()
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

func output(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Output
	}
	return ""
}
