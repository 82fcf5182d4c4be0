package front

import (
	"log/slog"
	"net/http"

	"github.com/holdfast-web/holdfast/internal/serve"
)

// AccessLog writes one JSON object a line for each answer: time, remote, method,
// host, uri, proto, status, bytes, ms, app, release, hot, delta, referer, agent.
type AccessLog struct {
	logger  *slog.Logger
	clients Clients
}

// AccessLogSoon is LinesConfig.Soon of an access log, in bytes.
const AccessLogSoon = 64 << 10

// NewAccessLog returns a log that writes to lines; clients identifies clients.
func NewAccessLog(lines *Lines, clients Clients) *AccessLog {
	return &AccessLog{slog.New(slog.NewJSONHandler(lines, &slog.HandlerOptions{ReplaceAttr: withoutLevel})), clients}
}

// withoutLevel drops attributes that are the same on every line.
func withoutLevel(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Record writes the line of an answer. It never blocks.
func (l *AccessLog) Record(r *http.Request, a serve.Access) {
	l.logger.LogAttrs(r.Context(), slog.LevelInfo, "",
		slog.String("remote", l.clients.Of(r)), slog.String("method", r.Method), slog.String("host", r.Host),
		slog.String("uri", r.RequestURI), slog.String("proto", r.Proto), slog.Int("status", a.Status),
		slog.Int64("bytes", a.Sent), slog.Float64("ms", float64(a.Duration.Microseconds())/1000),
		slog.String("app", a.App), slog.String("release", a.Release), slog.Bool("hot", a.Hot), slog.Bool("delta", a.Delta),
		slog.String("referer", r.Referer()), slog.String("agent", r.UserAgent()))
}
