package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

// maxResumes bounds how often one transfer resumes.
const maxResumes = 3

var (
	errSilent = errors.New("nothing came for too long")
	errSlow   = errors.New("not all of it came in time")
)

// Open implements blob.Peer. A broken transfer resumes at the same peer: with two, it
// would be unknown which one's bytes were wrong.
func (p *peer) Open(ctx context.Context, ref blob.Ref) (io.ReadCloser, error) {
	return p.open(ctx, objectPath+ref.Name.String(), ref.Size)
}

// transfer is an answer of a peer, with the state for requesting the rest of it.
type transfer struct {
	peer    *peer
	ctx     context.Context //nolint:containedctx // of the call that made it
	cancel  context.CancelCauseFunc
	stop    context.CancelFunc
	silence *time.Timer
	path    string
	object  bool
	size    int64
	off     int64
	resumes int
	body    io.ReadCloser
}

// open requests path. size is that of an object, or -1 for a text.
func (p *peer) open(ctx context.Context, path string, size int64) (*transfer, error) {
	t := &transfer{peer: p, path: path, object: size >= 0, size: size}
	ctx, t.stop = context.WithTimeoutCause(ctx, deadline(size), errSlow)
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	t.silence = time.AfterFunc(stall, func() { t.cancel(errSilent) })
	if err := t.request(); err != nil {
		t.end()
		return nil, err
	}
	p.succeeded()
	return t, nil
}

func deadline(size int64) time.Duration {
	if size < 0 {
		size = MaxText
	}
	return patience + time.Duration(size/slowest)*time.Second
}

// request requests the bytes from t.off.
func (t *transfer) request() error {
	c, p := t.peer.client, t.peer
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, c.scheme+"://"+p.Address+t.path, nil)
	if err != nil {
		return p.failed(unreachable, err)
	}
	if t.object {
		req.Header.Set(sizeHeader, strconv.FormatInt(t.size, 10))
	}
	if t.off > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", t.off))
	}
	c.config.Secrets.sign(req, p.Address, time.Now())
	resp, err := c.http.Do(req)
	if err != nil {
		return t.failed(unreachable, err)
	}
	if err := t.check(resp); err != nil {
		_ = resp.Body.Close() // its content is not needed
		return err
	}
	t.body = resp.Body
	return nil
}

// check reports why an answer does not match the request.
func (t *transfer) check(resp *http.Response) error {
	want := http.StatusOK
	if t.off > 0 {
		want = http.StatusPartialContent
	}
	length, p := resp.ContentLength, t.peer
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		p.succeeded()
		return fmt.Errorf("peer %s: %w", p.Name, holdfast.ErrNotFound)
	case code == http.StatusServiceUnavailable:
		return fmt.Errorf("peer %s is busy: %w", p.Name, holdfast.ErrUnavailable)
	case code == http.StatusUnauthorized:
		return p.failed(refuses, errors.New(resp.Status))
	case code >= 300 && code < 400:
		return p.failed(redirects, errors.New(resp.Status))
	case code != want:
		return p.failed(misanswers, errors.New(resp.Status))
	case len(resp.Header["Content-Encoding"]) > 0:
		return p.failed(misanswers, errors.New("the body is encoded"))
	case !t.object && (length < 0 || length > MaxText), t.object && length != t.size-t.off:
		return p.failed(misanswers, fmt.Errorf("%d bytes for %d", length, t.size-t.off))
	case t.off > 0 && resp.Header.Get("Content-Range") != contentRange(t.off, t.size):
		return p.failed(misanswers, errors.New("another range than asked for"))
	}
	t.size = length + t.off
	return nil
}

// failed returns the error for the peer's health: none, if the caller gave up.
func (t *transfer) failed(why cause, err error) error {
	switch {
	case t.ctx.Err() == nil:
	case errors.Is(context.Cause(t.ctx), errSilent), errors.Is(context.Cause(t.ctx), errSlow):
		why, err = slow, context.Cause(t.ctx)
	default:
		return fmt.Errorf("peer %s: %w: %w", t.peer.Name, holdfast.ErrUnavailable, context.Cause(t.ctx))
	}
	return t.peer.failed(why, err)
}

// Read implements io.Reader.
func (t *transfer) Read(b []byte) (int, error) {
	for {
		n, err := t.body.Read(b)
		if n > 0 {
			t.off += int64(n)
			t.silence.Reset(stall)
			return n, nil
		}
		switch {
		case err == nil:
			return 0, nil
		case t.off >= t.size && errors.Is(err, io.EOF):
			return 0, io.EOF
		case !t.object || t.ctx.Err() != nil || t.resumes >= maxResumes:
			return 0, t.failed(breaks, err)
		}
		t.resumes++
		_ = t.body.Close() // it is broken
		t.body = http.NoBody
		t.silence.Reset(stall)
		if err := t.request(); err != nil {
			return 0, err
		}
	}
}

func (t *transfer) end() {
	t.silence.Stop()
	t.cancel(nil)
	t.stop()
}

// Close ends the transfer, whether or not all of it was read.
func (t *transfer) Close() error {
	err := t.body.Close()
	t.end()
	return err
}
