package serve

import "net/http"

// forget drops what a client says of what it holds: in development that may be of
// other bytes under the same name. A range it wanted on that condition goes as well.
func (r *Request) forget() {
	if r.IfRange != "" {
		r.Range = ""
	}
	r.IfMatch, r.IfModifiedSince, r.IfNoneMatch, r.IfRange, r.IfUnmodifiedSince = "", "", "", "", ""
	r.AvailableDictionary = ""
}

// freshen makes an answer one that nobody keeps, or asks about later.
func freshen(h http.Header) {
	h["Cache-Control"] = []string{cacheNever}
	delete(h, "Etag")
	delete(h, "Last-Modified")
	delete(h, "Cache-Tag")
	delete(h, "Use-As-Dictionary")
}
