// Package pace holds readers to a number of bytes a second that they share, so that
// what can wait leaves disks and networks to those who serve.
package pace

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// burst is the most that is read at one go, in bytes: what a reader waits for
// between two reads must be short against the deadlines of connections.
const burst = 64 << 10

// Pace is a rate that all its readers share. A nil Pace sets no limit.
type Pace struct{ limit *rate.Limiter }

// New returns a pace; nil, which is no limit, if bytesPerSecond is not positive.
func New(bytesPerSecond int64) *Pace {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &Pace{rate.NewLimiter(rate.Limit(bytesPerSecond), burst)}
}

// Reader returns r at this pace, for as long as ctx lives.
func (p *Pace) Reader(ctx context.Context, r io.Reader) io.Reader {
	if p == nil {
		return r
	}
	return &reader{ctx, r, p.limit}
}

// ReadCloser is Reader for what is closed afterwards.
func (p *Pace) ReadCloser(ctx context.Context, r io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{p.Reader(ctx, r), r}
}

// reader belongs to one transfer, as its context does.
type reader struct {
	ctx   context.Context //nolint:containedctx // of the one transfer
	r     io.Reader
	limit *rate.Limiter
}

// Read pays for what it got afterwards: how much that will be nobody knows before.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p[:min(len(p), burst)])
	if wait := r.limit.WaitN(r.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}
