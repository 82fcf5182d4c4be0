package serve

import (
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-web/holdfast/internal/live"
)

// law returns which invariant an answer to any request violates, or nil.
func law(r *Request, d *Decision) error {
	h, err := fieldsOf(d)
	if err != nil {
		return err
	}
	for _, check := range []func(*Request, *Decision, map[string]string) error{lawOfStatus, lawOfCaching, lawOfBody, lawOfParts, lawOfDeltas} {
		if err := check(r, d, h); err != nil {
			return fmt.Errorf("%d: %w (%v)", d.Status, err, h)
		}
	}
	return nil
}

func fieldsOf(d *Decision) (map[string]string, error) {
	h := map[string]string{}
	for _, b := range []*Block{d.Entry, d.Class, d.Offer} {
		for _, f := range b.list() {
			if _, twice := h[f.Name]; twice || f.Value == "" || f.Name != textproto.CanonicalMIMEHeaderKey(f.Name) {
				return nil, fmt.Errorf("field %q twice, empty or not canonical", f.Name)
			}
			h[f.Name] = f.Value
		}
	}
	return h, nil
}

func lawOfStatus(r *Request, d *Decision, h map[string]string) error {
	get := r.Method == "GET" || r.Method == "HEAD"
	allowed := []int{200, 206, 304, 308, 404, 410, 412, 416, 503}
	switch {
	case r.HasBody && (get || r.Method == "OPTIONS"):
		allowed = []int{400}
	case r.Method == "OPTIONS":
		allowed = []int{204}
	case !get:
		allowed = []int{405}
	case r.Method == "HEAD":
		allowed = []int{200, 304, 308, 404, 410, 412, 503}
	}
	switch {
	case !slices.Contains(allowed, d.Status):
		return fmt.Errorf("status is none of %v", allowed)
	case d.Close != r.HasBody:
		return fmt.Errorf("close is %v", d.Close)
	case (d.RetryAfter > 0) != (d.Status == 503):
		return fmt.Errorf("retry after %d", d.RetryAfter)
	case (d.Allow || h["Allow"] != "") != (d.Status == 405 || d.Status == 204):
		return fmt.Errorf("allow is %v", d.Allow)
	case d.Wait != "" && (r.Waited || d.Status != 404 && d.Status != 200 && d.Status != 206 && d.Status != 304 && d.Status != 412 && d.Status != 416):
		return fmt.Errorf("waits for %q", d.Wait)
	}
	return nil
}

func lawOfCaching(r *Request, d *Decision, h map[string]string) error {
	cache, tagged := h["Cache-Control"], h["Etag"] != "" || h["Last-Modified"] != "" || h["Cache-Tag"] != ""
	switch d.Status {
	case 204:
		return nil
	case 308:
		if cache != "no-cache" || tagged {
			return fmt.Errorf("a redirect is cached")
		}
		return nil
	case 200, 206, 304:
		known := []string{cacheForEver, cacheForOne, cacheChecked, cachePrivate}
		if !slices.Contains(known, cache) || !strings.HasPrefix(h["Etag"], `"`) || !strings.HasPrefix(h["Vary"], "Accept-Encoding") {
			return fmt.Errorf("caching, tag or vary is wrong")
		}
		if f := d.File; f != nil && f.Polled && !f.Document && strings.Contains(cache, "immutable") {
			return fmt.Errorf("a polled file is kept")
		}
		if h["Cache-Tag"] == "" || h["X-Content-Type-Options"] != "nosniff" {
			return fmt.Errorf("no cache tag, or sniffing allowed")
		}
		return nil
	}
	if cache != "no-store" || tagged || h["X-Content-Type-Options"] != "nosniff" {
		return fmt.Errorf("a failure has caching fields")
	}
	if (d.Status == 404 || d.Status == 410) && d.App != nil && d.App.Settings.CORS != "off" && h["Access-Control-Allow-Origin"] == "" {
		return fmt.Errorf("no CORS field")
	}
	return nil
}

func lawOfBody(r *Request, d *Decision, h map[string]string) error {
	field, has := h["Content-Length"]
	size := d.ContentLength
	if has {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil || size >= 0 {
			return fmt.Errorf("two lengths")
		}
		size = n
	}
	switch d.Status {
	case 204, 304:
		if size >= 0 || h["Content-Type"] != "" || h["Content-Encoding"] != "" || d.Length != 0 || d.Text != "" {
			return fmt.Errorf("describes a body it does not have")
		}
		return nil
	}
	sent := d.Length + int64(len(d.Text))
	switch {
	case size < 0 || h["Content-Type"] == "":
		return fmt.Errorf("no length or type")
	case r.Method == "HEAD" && sent != 0:
		return fmt.Errorf("body for HEAD")
	case r.Method != "HEAD" && sent != size:
		return fmt.Errorf("sends %d of %d bytes", sent, size)
	case d.Length > 0 && (d.Off < 0 || d.Off > d.Ref.Size-d.Length):
		return fmt.Errorf("part %d+%d of %d bytes", d.Off, d.Length, d.Ref.Size)
	}
	return nil
}

func lawOfParts(r *Request, d *Decision, h map[string]string) error {
	part := d.Range
	switch d.Status {
	case 206:
		if d.Text != "" { // of the client helper
			if part.Total != int64(len(clientScript)) || clientScript[part.Start:part.End+1] != d.Text || d.Length != 0 {
				return fmt.Errorf("range %s for %q", part, d.Text)
			}
			break
		}
		if part.Start != d.Off || part.End != d.Off+d.Length-1 || part.Total != d.Ref.Size || d.Length < 1 {
			return fmt.Errorf("range %s for %d+%d of %d", part, d.Off, d.Length, d.Ref.Size)
		}
	case 416:
		if part.End != -1 || part.Total < 1 {
			return fmt.Errorf("range %s", part)
		}
	default:
		if part != (Range{}) || d.Length > 0 && (d.Off != 0 || d.Length != d.Ref.Size) {
			return fmt.Errorf("range %s for %d+%d of %d", part, d.Off, d.Length, d.Ref.Size)
		}
	}
	l := d.Location
	if (l != "") != (d.Status == http.StatusPermanentRedirect) {
		return fmt.Errorf("location %q", l)
	}
	if l != "" && (l[0] != '/' || strings.HasPrefix(l, "//") || strings.ContainsFunc(l, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' })) {
		return fmt.Errorf("location %q", l)
	}
	return nil
}

// lawOfDeltas: a file sent as a delta, or offered as a dictionary, has an immutable URL,
// and Vary names everything its form depends on. Neither is part of a file.
func lawOfDeltas(r *Request, d *Decision, h map[string]string) error {
	offered, u := h["Use-As-Dictionary"], d.Upgrade
	if offered == "" && u.Dictionary == nil {
		if h["Cache-Control"] == cacheForOne {
			return fmt.Errorf("private for ever without a delta")
		}
		return nil
	}
	if d.Status != 200 || h["Cache-Control"] != cacheForEver || h["Vary"] != varyDictionary || r.Method != "GET" && r.Method != "HEAD" {
		return fmt.Errorf("a delta of, or a dictionary from, what may change")
	}
	if u.Dictionary == nil {
		return nil
	}
	digest, ok := parseDictionary(r.AvailableDictionary)
	switch {
	case !ok || digest != u.Dictionary.Digest || u.Target != d.File || u.Target.Logical != u.Dictionary.Logical:
		return fmt.Errorf("a delta from %s to %s", u.Dictionary.Path, u.Target.Path)
	case r.Range != "" || !strings.Contains(strings.ToLower(r.AcceptEncoding), d.Coding.String()):
		return fmt.Errorf("a delta that was not asked for")
	}
	sent := *d
	sent.SendDelta([]byte("delta"), digest, "")
	if h, err := fieldsOf(&sent); err != nil || h["Content-Length"] != "5" || h["Content-Encoding"] != d.Coding.String() || h["Vary"] != varyDictionary || h["Accept-Ranges"] != "" {
		return fmt.Errorf("the header of a delta: %v (%w)", h, err)
	}
	return nil
}

// decideLawfully decides, and checks the answer against the law.
func decideLawfully(t *testing.T, tab *live.Table, r *Request) *Decision {
	t.Helper()
	before := *r
	d := new(Decision)
	Decide(tab, r, d)
	if err := law(r, d); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.Path, err)
	}
	if *r != before {
		t.Errorf("%s %s: the request was changed", r.Method, r.Path)
	}
	return d
}
