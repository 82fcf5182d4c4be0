// Package ratelimit limits readers to a number of bytes per second that they share,
// so that background transfers leave disks and networks to requests.
package ratelimit

import (
	"context"
	"io"

	"golang.org/x/time/rate"
)

// burst is the most that one call of Read returns, in bytes. It is small so that the
// wait between two reads stays far below the deadlines of connections.
const burst = 64 << 10

// Limit is a rate that all its readers share. A nil Limit limits nothing.
type Limit struct{ limiter *rate.Limiter }

// New returns a limit in bytes per second, or nil if bytesPerSecond is not positive.
func New(bytesPerSecond int64) *Limit {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &Limit{rate.NewLimiter(rate.Limit(bytesPerSecond), burst)}
}

// Reader returns a reader of r that keeps to the limit until ctx ends.
func (l *Limit) Reader(ctx context.Context, r io.Reader) io.Reader {
	if l == nil {
		return r
	}
	return &reader{ctx, r, l.limiter}
}

// ReadCloser is Reader for an io.ReadCloser.
func (l *Limit) ReadCloser(ctx context.Context, r io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{l.Reader(ctx, r), r}
}

// reader belongs to one transfer, as its context does.
type reader struct {
	ctx     context.Context //nolint:containedctx // of the one transfer
	r       io.Reader
	limiter *rate.Limiter
}

// Read waits after it has read, because only then is the number of bytes known.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p[:min(len(p), burst)])
	if wait := r.limiter.WaitN(r.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}
