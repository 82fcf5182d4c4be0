package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/holdfast-web/holdfast/internal/wait"
)

// watchEvery is how often status --watch looks.
const watchEvery = 2 * time.Second

// watchStatus shows the status repeatedly until ctx ends: in place on a terminal,
// otherwise a line for each change. Errors are shown and retried, because failures are
// when people watch.
func (c *cli) watchStatus(ctx context.Context, b *backends, o statusOptions) error {
	screen := c.ui.height > 0 && !c.ui.wantsJSON
	last := ""
	for {
		s, err := b.status(ctx, o.app, o.side)
		if ctx.Err() != nil {
			return nil // Ctrl-C is how it ends
		}
		text, err := c.watched(s, err, o, screen)
		if err != nil {
			return err
		}
		if screen || text != last {
			if _, err := io.WriteString(c.ui.out, text); err != nil {
				return fmt.Errorf("write status: %w", err)
			}
		}
		last = text
		if wait.For(ctx, watchEvery) != nil {
			return nil
		}
	}
}

// watched is one screen of status --watch.
func (c *cli) watched(s *clusterStatus, failed error, o statusOptions, screen bool) (string, error) {
	switch {
	case c.ui.wantsJSON && failed != nil:
		return compactJSON(failureDoc{explain(failed)})
	case c.ui.wantsJSON:
		return compactJSON(s)
	case !screen && failed != nil:
		return "unknown: " + explain(failed).Message + "\n", nil
	case !screen:
		return fmt.Sprintf("%s: %s\n", s.Verdict, s.Summary), nil
	}
	var page bytes.Buffer
	shown := *c
	u := *c.ui
	u.out, shown.ui = &page, &u
	const home, rest = "\x1b[H", "\x1b[J" // to the first line; clear from here
	fmt.Fprintf(&page, "%severy %s, %s, Ctrl-C ends it\n\n", home, shortDuration(watchEvery), time.Now().Format(time.TimeOnly))
	if failed != nil {
		f := explain(failed)
		u.say("%s %s\n%s", red.paint("unknown:", u.outColor), f.Message, f.Hint)
	} else {
		shown.showStatus(s, o.all)
	}
	return string(bytes.ReplaceAll(page.Bytes(), []byte("\n"), []byte("\x1b[K\n"))) + rest, nil
}

func compactJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return string(text) + "\n", nil
}
