package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

// Objects opens verified objects on this machine; *blob.Source is one.
type Objects interface {
	// OpenLocal returns an error that wraps ErrNotFound for an object that is elsewhere.
	OpenLocal(ctx context.Context, ref blob.Ref) (blob.Content, error)
}

// Texts reads texts on this machine.
type Texts interface {
	// Text returns a text, which need not be verified, or an error that wraps
	// ErrNotFound.
	Text(kind Kind, d holdfast.Digest) ([]byte, error)
}

const (
	// maxAnswers bounds the concurrent answers; further clients are told to retry.
	maxAnswers = 32
	// piece is how much is written under one deadline.
	piece = 1 << 20
	// pieceTimeout is how long a peer may take for it.
	pieceTimeout = 10 * time.Second
	// openTimeout bounds disk access.
	openTimeout = 5 * time.Second
	// maxStrangers bounds how many logged addresses are remembered.
	maxStrangers = 1024
)

// ServerConfig of a Server. All but Texts are required.
type ServerConfig struct {
	Secrets Secrets
	Address string // host:port of this node for peers; requests must be signed for it
	Objects Objects
	Texts   Texts // nil: has none
	Logger  *slog.Logger
}

// Server answers peers. It is an http.Handler.
type Server struct {
	ServerConfig
	answers chan struct{}
	told    told
}

// NewServer returns a server.
func NewServer(c ServerConfig) *Server {
	return &Server{ServerConfig: c, answers: make(chan struct{}, maxAnswers), told: told{most: maxStrangers}}
}

// refusal means the peer declined to answer.
type refusal struct {
	status int
	reason string
}

func (r refusal) Error() string { return r.reason }

// ServeHTTP implements http.Handler. A refusal reveals only its status, and ends the
// connection.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	err := s.answer(w, r)
	var no refusal
	switch {
	case err == nil:
	case errors.As(err, &no):
		s.logRefusal(r, no)
		h.Set("Connection", "close")
		w.WriteHeader(no.status)
	case errors.Is(err, holdfast.ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
	case errors.Is(err, errCut):
		panic(http.ErrAbortHandler) // a cut answer must not look complete
	default:
		if s.told.first("unanswered") {
			s.Logger.Warn("peer not answered; not logged again", "path", r.RequestURI, "error", err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// logRefusal logs the first refusal for each cause and address.
func (s *Server) logRefusal(r *http.Request, no refusal) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if no.status != http.StatusServiceUnavailable && s.told.first(host+" "+no.reason) {
		s.Logger.Warn("request to the peer listener refused; not logged again for this address", "from", host, "reason", no.reason)
	}
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) error {
	switch {
	case r.Method != http.MethodGet || r.ContentLength != 0:
		return refusal{http.StatusMethodNotAllowed, "not a GET without a body"}
	case r.Host != s.Address:
		return refusal{http.StatusUnauthorized, "meant for another address than " + s.Address}
	case !s.Secrets.verify(r, s.Address, time.Now()):
		return refusal{http.StatusUnauthorized, "wrong secret, or clocks that differ by more than " + MaxSkew.String()}
	}
	select {
	case s.answers <- struct{}{}:
		defer func() { <-s.answers }()
	default:
		return refusal{http.StatusServiceUnavailable, "busy"}
	}
	return s.route(w, r)
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) error {
	if text, ok := strings.CutPrefix(r.RequestURI, objectPath); ok {
		if name, err := holdfast.ParseObjectName(text); err == nil {
			return s.object(w, r, name)
		}
	}
	for prefix, kind := range map[string]Kind{manifestPath: Manifest, inventoryPath: Inventory, pagesPath: Pages} {
		if text, ok := strings.CutPrefix(r.RequestURI, prefix); ok {
			if d, err := holdfast.ParseDigest(text); err == nil {
				return s.text(w, kind, d)
			}
		}
	}
	return refusal{http.StatusNotFound, "no such URL"}
}

func (s *Server) object(w http.ResponseWriter, r *http.Request, name holdfast.ObjectName) error {
	size, err := strconv.ParseInt(r.Header.Get(sizeHeader), 10, 64)
	if err != nil || size < 0 {
		return refusal{http.StatusBadRequest, "no " + sizeHeader}
	}
	off, err := parseRange(r.Header.Get("Range"), size)
	if err != nil {
		return refusal{http.StatusRequestedRangeNotSatisfiable, err.Error()}
	}
	ctx, cancel := context.WithTimeout(r.Context(), openTimeout)
	defer cancel()
	content, err := s.Objects.OpenLocal(ctx, blob.Ref{Name: name, Size: size})
	if err != nil {
		return err
	}
	defer content.Close() //nolint:errcheck // was only read
	status := http.StatusOK
	if off > 0 {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", contentRange(off, size))
	}
	return send(w, status, content, off)
}

// parseRange reads the only form that peers use; "" means no range.
func parseRange(text string, size int64) (off int64, err error) {
	if text == "" {
		return 0, nil
	}
	digits, ok := strings.CutPrefix(text, "bytes=")
	digits, ok2 := strings.CutSuffix(digits, "-")
	off, err = strconv.ParseInt(digits, 10, 64)
	if !ok || !ok2 || err != nil || off <= 0 || off >= size {
		return 0, errors.New("not a range within the object")
	}
	return off, nil
}

func contentRange(off, size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", off, size-1, size)
}

func (s *Server) text(w http.ResponseWriter, kind Kind, d holdfast.Digest) error {
	if s.Texts == nil {
		return holdfast.ErrNotFound
	}
	text, err := s.Texts.Text(kind, d)
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, textContent{strings.NewReader(string(text))}, 0)
}

// textContent adapts a text to blob.Content.
type textContent struct{ *strings.Reader }

func (textContent) Close() error { return nil }

// errCut: the answer was cut off.
var errCut = errors.New("answer cut off")

// send writes a content from off to its end.
func send(w http.ResponseWriter, status int, c blob.Content, off int64) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(c.Size()-off, 10))
	w.WriteHeader(status)
	control := http.NewResponseController(w)
	for off < c.Size() {
		// If deadlines are not supported, those of the server apply.
		_ = control.SetWriteDeadline(time.Now().Add(pieceTimeout))
		n, err := blob.WriteRange(w, c, off, min(piece, c.Size()-off))
		if off += n; err != nil || n == 0 {
			return errors.Join(errCut, err)
		}
	}
	return nil
}

var (
	_ http.Handler = (*Server)(nil)
	_ io.ReaderAt  = textContent{}
)

// told remembers logged facts, up to a limit.
type told struct {
	most int
	mu   sync.Mutex
	seen map[string]bool
}

// first reports whether the fact is new. Beyond the limit nothing is.
func (t *told) first(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[what] || len(t.seen) >= t.most {
		return false
	}
	if t.seen == nil {
		t.seen = make(map[string]bool)
	}
	t.seen[what] = true
	return true
}
