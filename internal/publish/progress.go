package publish

import "sync"

// Phase is a part of a publish.
type Phase string

// The phases, in their order.
const (
	PhaseUpload   Phase = "upload"   // look up, encode, store
	PhaseRegister Phase = "register" // manifest, inventory, release
)

// Counts says what became of the build's distinct blobs and their stored forms.
type Counts struct {
	Reused        int   `json:"reused"`          // blobs whose objects an earlier release stored
	ReusedBytes   int64 `json:"reusedBytes"`     // their identity bytes
	Encoded       int   `json:"encoded"`         // encoded forms made, whether kept or not
	Verified      int   `json:"verified"`        // encoded forms found in the build, checked and used
	Uploaded      int   `json:"uploaded"`        // objects the store did not have
	UploadedBytes int64 `json:"uploadedBytes"`   // their stored bytes
	Restored      int   `json:"restoredObjects"` // of the uploaded objects, those that the store had and lost
}

// Progress is a snapshot of a publish.
type Progress struct {
	Phase     Phase
	Blobs     int   // distinct contents among the files
	BlobsDone int   //
	Bytes     int64 // their identity bytes
	BytesDone int64
	Counts
}

// progress collects what the workers did and reports it.
type progress struct {
	mu     sync.Mutex
	now    Progress
	report func(Progress)
}

func newProgress(b *Build, report func(Progress)) *progress {
	if report == nil {
		report = func(Progress) {}
	}
	p := &progress{report: report, now: Progress{Phase: PhaseUpload, Blobs: len(b.sources)}}
	for _, s := range b.sources {
		p.now.Bytes += s.size
	}
	return p
}

func (p *progress) phase(phase Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Phase = phase
	p.report(p.now)
}

// count changes the counts without reporting.
func (p *progress) count(change func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now.Counts)
}

// done reports that a blob of so many identity bytes is stored.
func (p *progress) done(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.BlobsDone++
	p.now.BytesDone += size
	p.report(p.now)
}

func (p *progress) counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.Counts
}
