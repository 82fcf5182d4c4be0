package node

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// AccessLog writes one JSON object a line for each answer: time, remote, method,
// host, uri, proto, status, bytes, ms, app, release, hot, delta, referer, agent.
type AccessLog struct {
	logger *slog.Logger
	mu     sync.Mutex
	buffer *bufio.Writer
}

// accessFlush is how long a line may stay in the buffer.
const accessFlush = time.Second

// NewAccessLog returns a log that writes to w, buffered; Run flushes it.
func NewAccessLog(w io.Writer) *AccessLog {
	l := &AccessLog{buffer: bufio.NewWriterSize(w, 64<<10)}
	l.logger = slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{ReplaceAttr: withoutLevel}))
	return l
}

// withoutLevel drops what is the same on every line.
func withoutLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Write is for the log's own handler.
func (l *AccessLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Write(line)
}

// Run flushes the log once a second until ctx ends, and then once more.
func (l *AccessLog) Run(ctx context.Context) error {
	tick := time.NewTicker(accessFlush)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.flush()
		case <-tick.C:
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
}

func (l *AccessLog) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.Flush()
}

func (l *AccessLog) write(r *http.Request, a serve.Access) {
	l.logger.LogAttrs(r.Context(), slog.LevelInfo, "",
		slog.String("remote", r.RemoteAddr), slog.String("method", r.Method), slog.String("host", r.Host),
		slog.String("uri", r.RequestURI), slog.String("proto", r.Proto), slog.Int("status", a.Status),
		slog.Int64("bytes", a.Sent), slog.Float64("ms", float64(a.Duration.Microseconds())/1000),
		slog.String("app", a.App), slog.String("release", a.Release), slog.Bool("hot", a.Hot), slog.Bool("delta", a.Delta),
		slog.String("referer", r.Referer()), slog.String("agent", r.UserAgent()))
}
