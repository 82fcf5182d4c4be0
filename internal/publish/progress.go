package publish

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/holdfast-web/holdfast/internal/registry"
)

// Phase is a part of a publish.
type Phase string

// The phases, in their order.
const (
	PhaseWait     Phase = "wait"     // another publisher stores the same build
	PhaseUpload   Phase = "upload"   // look up, encode, store
	PhaseRegister Phase = "register" // manifest, inventory, release
)

// Counts describes the results for the build's distinct blobs and their stored forms.
type Counts struct {
	Reused        int   `json:"reused"`          // blobs whose objects an earlier release stored
	ReusedBytes   int64 `json:"reusedBytes"`     // their identity bytes
	Encoded       int   `json:"encoded"`         // encoded forms made, whether kept or not
	Verified      int   `json:"verified"`        // encoded forms found in the build, checked and used
	Uploaded      int   `json:"uploaded"`        // objects the store did not have
	UploadedBytes int64 `json:"uploadedBytes"`   // their stored bytes
	Restored      int   `json:"restoredObjects"` // of the uploaded objects, those that the store had lost
}

// Progress is a snapshot of a publish.
type Progress struct {
	Phase     Phase
	Blobs     int   // distinct contents among the files
	BlobsDone int   //
	Bytes     int64 // their identity bytes
	BytesDone int64
	// Copier is the publisher that PhaseWait waits for; nil in other phases.
	Copier *registry.Copier
	Counts
}

// progress collects and reports the workers' results.
type progress struct {
	mu     sync.Mutex
	now    Progress
	report func(Progress)
	steps  atomic.Int64 // see registry.CopierProgress
	busy   atomic.Int64 // how many files are being encoded
}

func newProgress(report func(Progress)) *progress {
	if report == nil {
		report = func(Progress) {}
	}
	return &progress{report: report}
}

// restart resets the counts of a build, except the steps, which never go back.
func (p *progress) restart(b *Build) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = Progress{Phase: PhaseUpload, Blobs: len(b.sources)}
	for _, s := range b.sources {
		p.now.Bytes += s.size
	}
}

func (p *progress) phase(phase Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Phase, p.now.Copier = phase, nil
	p.steps.Add(1)
	p.report(p.now)
}

// wait reports the progress of another publisher.
func (p *progress) wait(c registry.Copier) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Phase, p.now.Copier = PhaseWait, &c
	p.report(p.now)
}

// copier returns this publisher's progress for waiting ones. Encoding a large file takes
// minutes but cannot hang, so it always counts as a step.
func (p *progress) copier() registry.CopierProgress {
	if p.busy.Load() > 0 {
		p.steps.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return registry.CopierProgress{Files: p.now.Blobs, FilesDone: p.now.BlobsDone, Steps: p.steps.Load()}
}

// reading counts each read of r as a step: one file may take minutes.
func (p *progress) reading(r io.Reader) io.Reader { return steppingReader{r, p} }

type steppingReader struct {
	io.Reader
	*progress
}

func (r steppingReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if n > 0 {
		r.steps.Add(1)
	}
	return n, err //nolint:wrapcheck // a reader returns its bytes
}

// count changes the counts without reporting.
func (p *progress) count(change func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps.Add(1)
	change(&p.now.Counts)
}

// done reports that a blob of so many identity bytes is stored.
func (p *progress) done(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps.Add(1)
	p.now.BlobsDone++
	p.now.BytesDone += size
	p.report(p.now)
}

func (p *progress) counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Counts
}
