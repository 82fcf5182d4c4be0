package asset

import "net/http"

// EarlyHints says when Preload sends an answer with the status 103 (RFC 8297)
// ahead of the answer.
type EarlyHints uint8

const (
	// EarlyHintsHTTP2: over HTTP/2 and later only. Browsers take no hints over
	// HTTP/1.1, and proxies that speak it to this server may take the 103 for the
	// answer.
	EarlyHintsHTTP2 EarlyHints = iota
	// EarlyHintsAlways: over HTTP/1.1 too, for a proxy that is known to pass them on.
	EarlyHintsAlways
	// EarlyHintsNever: Link fields in the answer only.
	EarlyHintsNever
)

// maxHints bounds the bytes of Link fields that Preload adds: servers in between
// refuse answers whose header is too long, some beyond 4 kB.
const maxHints = 2 << 10

// Preload tells the browser which files a page loads before it has read the page: it adds
// Link fields for the entries, which are the same as for Tags, to the header of w, and if
// the client supports it sends them at once, with the status 103, while the page is still
// being made. Call it before anything is written; a page made with Tags of the same
// entries loads each file once.
func (r *Release) Preload(w http.ResponseWriter, req *http.Request, entries ...string) error {
	set, err := r.set(entries)
	if err != nil {
		return err
	}
	nonce, err := r.parsedNonce()
	if err != nil {
		return err
	}
	header, size := w.Header(), 0
	for _, tag := range set.tags {
		if tag.Hint == "" {
			continue
		}
		hint := tag.With(nonce).Hint
		if size += len(hint); size > maxHints {
			break
		}
		header.Add("Link", hint)
	}
	if size > 0 && r.early.copes(req) {
		w.WriteHeader(http.StatusEarlyHints)
	}
	return nil
}

// Preload is Release.Preload of the release that pages refer to now. A page that
// is made from a Release calls that one's.
func (a *Assets) Preload(w http.ResponseWriter, r *http.Request, entries ...string) error {
	release, err := a.site.release()
	if err != nil {
		return err
	}
	return release.Preload(w, r, entries...)
}

// copes reports whether the client of a request supports an early answer. HTTP/1.0 does
// not (RFC 9110, section 15.2), and a response that is not displayed as a page has no use
// for it.
func (e EarlyHints) copes(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	switch e {
	case EarlyHintsHTTP2:
		return r.ProtoAtLeast(2, 0)
	case EarlyHintsAlways:
		return r.ProtoAtLeast(1, 1)
	default:
		return false
	}
}
