package serve

import "net/http"

// forget drops the client's validators: in development they may be of other bytes under
// the same name. A range requested on that condition is also dropped.
func (r *Request) forget() {
	if r.IfRange != "" {
		r.Range = ""
	}
	r.IfMatch, r.IfModifiedSince, r.IfNoneMatch, r.IfRange, r.IfUnmodifiedSince = "", "", "", "", ""
	r.AvailableDictionary = ""
}

// freshen makes an answer uncacheable, without validators.
func freshen(h http.Header) {
	h["Cache-Control"] = []string{cacheNever}
	delete(h, "Etag")
	delete(h, "Last-Modified")
	delete(h, "Cache-Tag")
	delete(h, "Use-As-Dictionary")
}
