package peer

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// FuzzVerify: only the header of that exact request is accepted.
func FuzzVerify(f *testing.F) {
	s, err := ParseSecrets("sixteen bytes or more")
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	request := func(path, ranged, size string) *http.Request {
		r := &http.Request{Method: http.MethodGet, RequestURI: path, URL: &url.URL{Path: path}, Header: http.Header{}}
		r.Header.Set("Range", ranged)
		r.Header.Set(sizeHeader, size)
		return r
	}
	good := request("/objects/x", "", "5")
	s.sign(good, "a:1", now)
	valid := good.Header.Get("Authorization")
	f.Add(valid, "/objects/x", "", "5")
	f.Add(valid, "/objects/y", "", "5")
	f.Add(scheme+"1700000000.", "/objects/x", "bytes=1-", "5")
	f.Add(scheme+"-1.00", "", "", "")
	f.Fuzz(func(t *testing.T, authorization, path, ranged, size string) {
		r := request(path, ranged, size)
		r.Header.Set("Authorization", authorization)
		same := path == "/objects/x" && ranged == "" && size == "5"
		if s.verify(r, "a:1", now) && !same {
			t.Errorf("accepted %q for %q, %q, %q", authorization, path, ranged, size)
		}
		if s.verify(r, "b:1", now) {
			t.Errorf("accepted %q at another address", authorization)
		}
	})
}

// FuzzParseRange: accepted ranges are within the object.
func FuzzParseRange(f *testing.F) {
	f.Add("bytes=5-", int64(10))
	f.Add("bytes=-5", int64(10))
	f.Add("bytes=+5-", int64(10))
	f.Fuzz(func(t *testing.T, text string, size int64) {
		if off, err := parseRange(text, size); err == nil && text != "" && (off <= 0 || off >= size) {
			t.Errorf("%q of %d: %d", text, size, off)
		}
	})
}
