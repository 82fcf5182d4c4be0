package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cheggaaa/pb/v3"

	"github.com/holdfast-web/holdfast/internal/publish"
)

const (
	// quick is how long a command may take without a sign of life.
	quick = 500 * time.Millisecond
	// plainEvery is how often progress is printed where no bar can be drawn.
	plainEvery = 5 * time.Second
)

// amount is how much there is to do, and how much of it is done.
type amount struct {
	files, filesDone int
	bytes, bytesDone int64
	waiting          string // what the command is waiting for; "" if nothing
}

// progress shows the progress of a long command: as a bar on a terminal, otherwise as a
// line every few seconds. Quick commands show nothing. All methods may be called
// concurrently.
type progress struct {
	ui      *ui
	verb    string // "stored", "verified"
	stop    chan struct{}
	running sync.WaitGroup

	mu   sync.Mutex
	now  amount
	last time.Time // time of the last report
	told string    // the last line of amount.waiting
	bar  *pb.ProgressBar
}

// progress starts reporting; the caller calls finish.
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
	case p.now.waiting != "": // a line, also on a terminal: it names the other publisher
		if due := now.Sub(p.last) >= plainEvery; p.told == "" || due && p.told != p.now.waiting {
			p.last, p.told = now, p.now.waiting
			p.ui.note("%s", p.now.waiting)
		}
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

// finish ends it and removes the bar: the command reports the result.
func (p *progress) finish() {
	close(p.stop)
	p.running.Wait()
	if p.bar != nil {
		_, _ = io.WriteString(p.ui.err, "\r\x1b[K") // a bar that cannot be removed is no failure
	}
}

// publisher says which process this is, for others that publish the same build.
func publisher() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a machine without a name"
	}
	return fmt.Sprintf("%s (process %d)", host, os.Getpid())
}

// amountOf formats the progress of a publish.
func amountOf(p publish.Progress) func(*amount) {
	return func(a *amount) {
		*a = amount{files: p.Blobs, filesDone: p.BlobsDone, bytes: p.Bytes, bytesDone: p.BytesDone}
		if c := p.Copier; c != nil {
			a.waiting = fmt.Sprintf("waiting for %s, which is publishing the same build", cmp.Or(c.By, "another publisher"))
			if c.Files > 0 {
				a.waiting += fmt.Sprintf(" (%s of %s)", grouped(c.FilesDone), count(c.Files, "file"))
			}
		}
	}
}
