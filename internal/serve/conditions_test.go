package serve

import (
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// long has all codings: zstd is the smallest, then gzip, br, identity.
var long = strings.Repeat("export const answer = 42;\n", 20)

func tagOf(content string, c holdfast.Coding) string {
	if c == holdfast.Identity {
		return `"` + hexOf(content)[:32] + `"`
	}
	return `"` + hexOf(content)[:32] + "-" + c.String() + "." + hexOf(encoded(content, c))[:8] + `"`
}

func longSite() site {
	return site{app: "default", sides: map[string]string{"main": "r"}, releases: []rel{
		{id: "r", state: holdfast.Live, files: map[string]string{"a.js": long, "index.html": "<p>", "empty.bin": ""}},
	}}
}

// TestConditions goes through every combination of the condition fields, and compares
// with RFC 9110, section 13.2.2, transcribed literally.
func TestConditions(t *testing.T) {
	tab := table(t, "main", longSite())
	zstd, gzip, stamp := tagOf(long, holdfast.Zstd), tagOf(long, holdfast.Gzip), at(1).Format(time.RFC1123)
	stamp = strings.Replace(stamp, "UTC", "GMT", 1)
	earlier, later := strings.Replace(stamp, "12:00:01", "12:00:00", 1), strings.Replace(stamp, "12:00:01", "12:00:02", 1)
	type choice struct {
		value string
		holds bool // of a precondition; for If-None-Match and If-Modified-Since: the client is up to date
	}
	absent := choice{"", false}
	ifMatch := []choice{absent, {"*", true}, {zstd, true}, {`"x", ` + zstd, true}, {gzip, false}, {"W/" + zstd, false}, {`"x"`, false}, {"x", false}}
	ifUnmodified := []choice{absent, {stamp, true}, {later, true}, {earlier, false}, {"yesterday", true}}
	ifNoneMatch := []choice{absent, {"*", true}, {zstd, true}, {"W/" + zstd, true}, {gzip, true}, {`"x" , ` + gzip, true}, {`"x"`, false}, {tagOf(long, holdfast.Brotli), false}, {"x", false}}
	ifModified := []choice{absent, {stamp, true}, {earlier, false}, {later, false}, {"Sunday, 01-Mar-26 12:00:01 GMT", true}, {"Sun Mar  1 12:00:01 2026", true}, {"soon", false}}
	ifRange := []choice{absent, {zstd, true}, {gzip, false}, {"W/" + zstd, false}, {stamp, false}, {`"x"`, false}}
	for _, m := range ifMatch {
		for _, u := range ifUnmodified {
			for _, n := range ifNoneMatch {
				for _, s := range ifModified {
					for _, ir := range ifRange {
						for _, rng := range []string{"", "bytes=0-9", "bytes=5000-"} {
							for _, method := range []string{"GET", "HEAD"} {
								r := &Request{
									Method: method, Host: "h", Path: "/a.js", AcceptEncoding: "zstd, gzip", IfMatch: m.value, IfUnmodifiedSince: u.value,
									IfNoneMatch: n.value, IfModifiedSince: s.value, IfRange: ir.value, Range: rng,
								}
								want := 200
								switch {
								case m.value != "" && !m.holds, m.value == "" && u.value != "" && !u.holds:
									want = 412
								case n.value != "" && n.holds, n.value == "" && s.value != "" && s.holds:
									want = 304
								case rng == "" || method != "GET" || ir.value != "" && !ir.holds:
								case rng == "bytes=0-9":
									want = 206
								default:
									want = 416
								}
								if d := decideLawfully(t, tab, r); d.Status != want {
									t.Fatalf("%+v: %d, want %d", r, d.Status, want)
								}
							}
						}
					}
				}
			}
		}
	}
}

// TestNotModifiedTag: the answer names the tag that the client holds, so that its
// cache freshens the right one.
func TestNotModifiedTag(t *testing.T) {
	tab := table(t, "main", longSite())
	zstd, gzip, br, id := tagOf(long, holdfast.Zstd), tagOf(long, holdfast.Gzip), tagOf(long, holdfast.Brotli), tagOf(long, holdfast.Identity)
	for _, c := range []struct{ accept, ifNoneMatch, want string }{
		{"zstd, gzip", "*", zstd},
		{"zstd, gzip", gzip, gzip},
		{"zstd, gzip", gzip + ", " + zstd, gzip},
		{"zstd, gzip", br, ""},
		{"zstd, gzip", id, id},
		{"zstd, gzip, identity;q=0", id, ""},
		{"identity;q=0", id, id}, // refused, and still sent: there is nothing else
		{"*;q=0", `"x",` + id, id},
		{"", zstd, ""},
		{"", id, id},
		{"zstd", `"` + strings.Trim(zstd, `"`)[:40] + `"`, ""},
		{"zstd", strings.Trim(zstd, `"`), ""},
		{"zstd", `w/` + zstd, ""},
	} {
		d := decideLawfully(t, tab, &Request{Method: "GET", Path: "/a.js", AcceptEncoding: c.accept, IfNoneMatch: c.ifNoneMatch})
		status, got := 200, ""
		if c.want != "" {
			status = 304
		}
		if d.Status == 304 {
			got = headers(d)["Etag"]
		}
		if d.Status != status || got != c.want {
			t.Errorf("%q with %s: %d %s, want %d %s", c.accept, c.ifNoneMatch, d.Status, got, status, c.want)
		}
	}
}

func TestDatesOfWhatHasNone(t *testing.T) {
	tab := table(t, "main", longSite())
	path := "/~" + hexOf(long)[:16] + "/a.js"
	for _, date := range []string{"Sun, 01 Mar 2026 12:00:01 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT"} {
		for _, r := range []*Request{
			get(path, func(r *Request) { r.IfModifiedSince = date }),
			get(path, func(r *Request) { r.IfUnmodifiedSince = date }),
		} {
			if d := decideLawfully(t, tab, r); d.Status != 200 {
				t.Errorf("content with the date %s: %d, want 200", date, d.Status)
			}
		}
	}
}

func TestNegotiation(t *testing.T) {
	tab := table(t, "main", longSite())
	for accept, want := range map[string]string{
		"":                             "",
		"identity":                     "",
		"gzip":                         "gzip",
		"x-gzip":                       "gzip",
		"GZIP":                         "gzip",
		"gzip, deflate":                "gzip",
		"deflate":                      "",
		"deflate, x-br":                "",
		"br":                           "br",
		"gzip, deflate, br":            "gzip", // the fixture makes gzip the smaller
		"gzip, deflate, br, zstd":      "zstd",
		"gzip, deflate, br, zstd, dcb": "zstd",
		"br;q=1.0, gzip;q=0.8":         "br",
		"br;q=0.2, gzip;q=0.8":         "gzip",
		"br;q=0.199, gzip;q=0.2":       "gzip",
		"br ; q=0.2 ,gzip ;q=0.8":      "gzip",
		"br;Q=0.2,gzip;Q=0.8":          "gzip",
		"br;q=0":                       "",
		"br;q=0.000, gzip;q=0.001":     "gzip",
		"*":                            "zstd",
		"*;q=0.1":                      "zstd",
		"*, zstd;q=0":                  "gzip",
		"gzip;q=0.5, *;q=0.1":          "gzip",
		"identity;q=1, gzip;q=0.5":     "",
		"identity;q=0.5, gzip;q=0.4":   "",
		"identity, gzip":               "gzip", // equally wanted: the smaller
		"identity;q=0":                 "",     // there is nothing else to send
		"identity;q=0, br":             "br",
		"*;q=0":                        "",
		"*;q=0, br":                    "br",
		"gzip;q=2":                     "",
		"gzip;q=-1":                    "",
		"gzip;q=":                      "",
		"gzip;q=abc, br":               "br",
		"gzip;q=1.001":                 "",
		"gzip;q=0.1234":                "",
		"gzip;q=1.":                    "gzip",
		"gzip;level=9;q=0, br;x=y":     "br",
		", ,gzip,":                     "gzip",
		"gzip gzip":                    "",
		"gzip;q=0, gzip":               "gzip",
	} {
		d := decideLawfully(t, tab, &Request{Method: "GET", Path: "/a.js", AcceptEncoding: accept})
		if got := headers(d)["Content-Encoding"]; got != want || d.Status != 200 {
			t.Errorf("%q: %d %q, want %q", accept, d.Status, got, want)
		}
	}
}

func TestRanges(t *testing.T) {
	tab := table(t, "main", longSite())
	size := int64(len(long))
	for _, c := range []struct {
		field      string
		status     int
		start, end int64
	}{
		{"bytes=0-0", 206, 0, 0},
		{"bytes=0-9", 206, 0, 9},
		{"bytes=10-19", 206, 10, 19},
		{"bytes=5-", 206, 5, size - 1},
		{"bytes=0-", 206, 0, size - 1},
		{"bytes=-1", 206, size - 1, size - 1},
		{"bytes=-5000", 206, 0, size - 1},
		{"bytes=0-99999999999999999999", 206, 0, size - 1},
		{"bytes=-99999999999999999999", 206, 0, size - 1},
		{"bytes=007-0009", 206, 7, 9},
		{"BYTES=0-9", 206, 0, 9},
		{"bytes= 0-9 ", 206, 0, 9},
		{"bytes=519-519", 206, 519, 519},
		{"bytes=519-520", 206, 519, 519},

		{"bytes=-0", 416, 0, 0},
		{"bytes=-00", 416, 0, 0},
		{"bytes=520-", 416, 0, 0},
		{"bytes=520-600", 416, 0, 0},
		{"bytes=99999999999999999999-", 416, 0, 0},
		{"bytes=99999999999999999999-99999999999999999999", 416, 0, 0},
		{"bytes=9223372036854775807-9223372036854775807", 416, 0, 0},

		{"lines=0-1", 200, 0, 0},
		{"bytes", 200, 0, 0},
		{"bytes=", 200, 0, 0},
		{"bytes=-", 200, 0, 0},
		{"bytes=a-b", 200, 0, 0},
		{"bytes=0-1-2", 200, 0, 0},
		{"bytes=--1", 200, 0, 0},
		{"bytes=+1-2", 200, 0, 0},
		{"bytes=0x1-2", 200, 0, 0},
		{"bytes=1 -2", 200, 0, 0},
		{"bytes=9-1", 200, 0, 0},
		{"bytes=1.0-2", 200, 0, 0},
		{"bytes=0-1,3-4", 200, 0, 0},
		{"bytes=0-1, 3-4", 200, 0, 0},
		{"bytes=0-1,", 200, 0, 0},
		{"0-1", 200, 0, 0},
		{"bytes:0-1", 200, 0, 0},
	} {
		d := decideLawfully(t, tab, &Request{Method: "GET", Path: "/a.js", Range: c.field})
		if d.Status != c.status {
			t.Errorf("%q: %d, want %d", c.field, d.Status, c.status)
			continue
		}
		want := Range{}
		switch c.status {
		case 206:
			want = Range{c.start, c.end, size}
		case 416:
			want = Range{-1, -1, size}
		}
		if d.Range != want {
			t.Errorf("%q: range %v, want %v", c.field, d.Range, want)
		}
		if d := decideLawfully(t, tab, &Request{Method: "HEAD", Path: "/a.js", Range: c.field}); d.Status != 200 {
			t.Errorf("HEAD %q: %d, want 200", c.field, d.Status)
		}
		if d := decideLawfully(t, tab, &Request{Method: "GET", Path: "/empty.bin", Range: c.field}); d.Status != 200 {
			t.Errorf("%q of nothing: %d, want 200", c.field, d.Status)
		}
	}
	if got, want := (Range{0, 9, 20}).String(), "bytes 0-9/20"; got != want {
		t.Errorf("range %q, want %q", got, want)
	}
	if got, want := (Range{-1, -1, 20}).String(), "bytes */20"; got != want {
		t.Errorf("range %q, want %q", got, want)
	}
}

// TestRangesOfCodings: ranges count the bytes of the form that is sent.
func TestRangesOfCodings(t *testing.T) {
	tab := table(t, "main", longSite())
	size := int64(len(encoded(long, holdfast.Gzip)))
	d := decideLawfully(t, tab, &Request{Method: "GET", Path: "/a.js", AcceptEncoding: "gzip", Range: "bytes=-3"})
	if want := (Range{size - 3, size - 1, size}); d.Range != want || headers(d)["Content-Encoding"] != "gzip" || headers(d)["Etag"] != tagOf(long, holdfast.Gzip) {
		t.Errorf("range %v of %v, want %v of gzip", d.Range, headers(d), want)
	}
	if want := (holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(encoded(long, holdfast.Gzip)))}); d.Ref.Name != want {
		t.Errorf("object %s, want %s", d.Ref.Name, want)
	}
}
