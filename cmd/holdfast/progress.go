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
	ui      *ui
	verb    string // "stored", "verified"
	stop    chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	now  amount
	last time.Time // when it was told last
	bar  *pb.ProgressBar
}

// progress begins to tell; whoever called it calls finish.
func (c *cli) progress(verb string) *progress {
	p := &progress{ui: c.ui, verb: verb, stop: make(chan struct{}), last: time.Now()}
	p.running.Go(p.run)
	return p
}

func (p *progress) run() {
	tick := time.NewTicker(quick)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-tick.C:
			p.show(now)
		}
	}
}

// update changes the amount.
func (p *progress) update(change func(*amount)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
}

func (p *progress) show(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.now.bytes == 0: // nothing is known yet
	case p.ui.terminal:
		p.draw()
	case now.Sub(p.last) >= plainEvery:
		p.last = now
		p.ui.note("%s %s of %s, %s of %s", p.verb, grouped(p.now.filesDone), count(p.now.files, "file"),
			humanSize(p.now.bytesDone), humanSize(p.now.bytes))
	}
}

const barTemplate = `{{string . "verb"}} {{string . "files"}} {{bar . "[" "=" ">" " " "]"}} {{counters . }} {{speed . "%s/s" "-"}} {{rtime . "%s left" "%s" "-"}}`

func (p *progress) draw() {
	if p.bar == nil {
		p.bar = pb.New64(p.now.bytes).SetTemplateString(barTemplate).SetWriter(p.ui.err)
		p.bar.Set(pb.Bytes, true).Set(pb.SIBytesPrefix, true).Set(pb.Terminal, true).Set(pb.Static, true).Set("verb", p.verb).SetMaxWidth(110)
		p.bar.Start()
	}
	p.bar.SetTotal(p.now.bytes).SetCurrent(p.now.bytesDone)
	p.bar.Set("files", grouped(p.now.filesDone)+" of "+count(p.now.files, "file"))
	p.bar.Write()
}

// finish ends it and removes the bar: what was done is told by the command.
func (p *progress) finish() {
	close(p.stop)
	p.running.Wait()
	if p.bar != nil {
		_, _ = io.WriteString(p.ui.err, "\r\x1b[K") // a bar that cannot be removed is no failure
	}
}
