package main

import (
	"io"
	"sync"
	"time"

	"github.com/cheggaaa/pb/v3"
)

const (
	// quick is how long a command may take without a sign of life.
	quick = 500 * time.Millisecond
	// plainEvery is how often progress is told where no bar can be drawn.
	plainEvery = 5 * time.Second
)

// amount is how much there is to do, and how much of it is done.
type amount struct {
	files, filesDone int
	bytes, bytesDone int64
}

// progress tells how far a long command is: as a bar on a terminal, else as a
// line every few seconds. Commands that are quick show nothing. All methods may
// be called concurrently.
type progress struct {
	ui   *ui
	verb string // "encoded", "verified"

	mu          sync.Mutex
	now         amount
	bar         *pb.ProgressBar
	start, last time.Time
}

func (c *cli) progress(verb string) *progress {
	now := time.Now()
	return &progress{ui: c.ui, verb: verb, start: now, last: now}
}

// update changes the amount and shows it when it is time to.
func (p *progress) update(change func(*amount)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
	now := time.Now()
	switch {
	case p.ui.terminal:
		p.draw(now)
	case now.Sub(p.last) >= plainEvery:
		p.last = now
		p.ui.note("%s %s of %s, %s of %s", p.verb, grouped(p.now.filesDone), count(p.now.files, "file"),
			humanSize(p.now.bytesDone), humanSize(p.now.bytes))
	}
}

const barTemplate = `{{string . "verb"}} {{string . "files"}} {{bar . "[" "=" ">" " " "]"}} {{counters . }} {{speed . "%s/s" ""}} {{rtime . "%s left" "" ""}}`

func (p *progress) draw(now time.Time) {
	if p.bar == nil {
		if now.Sub(p.start) < quick {
			return
		}
		p.bar = pb.New64(p.now.bytes).SetTemplateString(barTemplate).SetWriter(p.ui.err)
		p.bar.Set(pb.Bytes, true).Set(pb.SIBytesPrefix, true).Set(pb.Terminal, true).Set("verb", p.verb)
		p.bar.Start()
	}
	p.bar.SetTotal(p.now.bytes).SetCurrent(p.now.bytesDone)
	p.bar.Set("files", grouped(p.now.filesDone)+" of "+count(p.now.files, "file"))
}

// finish removes the bar: what was done is told by the command itself.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Finish()
		p.bar = nil
		_, _ = io.WriteString(p.ui.err, "\x1b[A\r\x1b[K")
	}
}
