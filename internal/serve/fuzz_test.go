package serve

import (
	"math"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/live"
)

// fuzzTables are tables of all kinds; the first is nil.
func fuzzTables(f *testing.F) []*live.Table {
	lagging := shop()
	lagging.absent = map[string]bool{"old": true}
	nothing := shop()
	nothing.sides = nil
	below := shop("mount=shop.example.com/a/b", "spa=on", "pinned=/{release}/{path}", "preview=off", "cors=off", "sourcemaps=public")
	below.app = "below"
	return []*live.Table{
		nil, table(f, "main", notices()), table(f, "b", shop("spa=on", "immutable=**")), table(f, "main", below, longSite()),
		table(f, "main", below), table(f, "main", lagging), table(f, "main", nothing), table(f, "main"), table(f, "main", versions()),
	}
}

func FuzzDecide(f *testing.F) {
	tables := fuzzTables(f)
	seed := func(kind, flags byte, r *Request) {
		f.Add(kind, flags, r.Method, r.Host, r.Path, r.Query, r.Accept, r.AcceptEncoding, r.DeploymentID, r.FetchDest, r.FetchMode,
			r.IfMatch, r.IfModifiedSince, r.IfNoneMatch, r.IfRange, r.IfUnmodifiedSince, r.Range, r.AvailableDictionary)
	}
	for kind := range tables {
		for i, p := range []string{
			"/", "/app.js", "/@old/app.js", "/@old", "/docs?a=%", "/app.js?dpl=next", "/~" + hexOf("old app") + "/app.js",
			"/@live/~" + hexOf("live app")[:8] + "/app.js", "/a/b", "/a/b/old/app.js", "/nothing-Ab3dEf12.js", "/%2e%2e/", "//x", "*", "/ü", "/a.js", "/~client.js", "/a/b/~client.js", "/@old/sw.js", "/_app/version.json?dpl=undefined",
		} {
			seed(byte(kind), byte(i), get(p, func(r *Request) { r.Range, r.IfRange = "bytes=0-3", tagOf(long, holdfast.Zstd) }))
			seed(byte(kind), 0, get(p, navigate, header("old"), host("shop.example.com:80"), func(r *Request) { r.IfNoneMatch, r.IfMatch = `W/"x", "y"`, "*" }))
			seed(byte(kind), 0, get(p, header("nobody"), func(r *Request) {
				r.Method, r.IfModifiedSince, r.IfUnmodifiedSince = "HEAD", "Sun, 01 Mar 2026 12:00:07 GMT", "Sun Mar  1 12:00:01 2026"
			}))
		}
	}
	for _, p := range []string{"/@r1/app.js", "/assets/app-DtbK3_aB.js", "/~" + hexOf(version(2))[:16] + "/app.js"} {
		seed(byte(len(tables)-1), 0, get(p, has(version(1), "br, dcb, dcz")))
		seed(byte(len(tables)-1), 0, get(p, has(version(2), "dcz;q=0.5, *"), func(r *Request) { r.IfNoneMatch = `"` + hexOf(version(2))[:32] + `-dcz.01234567"` }))
	}
	f.Fuzz(func(t *testing.T, kind, flags byte, method, host, path, query, accept, acceptEncoding, id, dest, mode, ifMatch, ifModified, ifNone, ifRange, ifUnmodified, rng, dictionary string) {
		r := &Request{
			Method: method, Host: host, Path: path, Query: query, HasBody: flags&1 != 0, Waited: flags&2 != 0,
			Accept: accept, AcceptEncoding: acceptEncoding, DeploymentID: id, FetchDest: dest, FetchMode: mode, IfMatch: ifMatch, IfModifiedSince: ifModified,
			IfNoneMatch: ifNone, IfRange: ifRange, IfUnmodifiedSince: ifUnmodified, Range: rng, AvailableDictionary: dictionary,
		}
		d := decideLawfully(t, tables[int(kind)%len(tables)], r)
		if (method == "GET" || method == "HEAD") && !r.HasBody && d.Status < 400 && d.Status != 308 {
			isPage := d.App != nil && d.App.Settings.SPA && r.navigates() && d.File != nil && d.File.Document
			if _, ok := slowDecodePath(path); !ok && !isPage {
				t.Errorf("%q was answered with %d", path, d.Status)
			}
		}
	})
}

// slowDecodePath is decodePath's specification, one rule after the other.
func slowDecodePath(raw string) (string, bool) {
	if !strings.HasPrefix(raw, "/") || len(raw) > 4*holdfast.MaxPath || strings.ContainsAny(raw, `\#`) {
		return "", false
	}
	for _, hidden := range []string{"%2e", "%2E", "%2f", "%2F", "%5c", "%5C"} {
		if strings.Contains(raw, hidden) {
			return "", false
		}
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", false
	}
	segments := strings.Split(decoded[1:], "/")
	for i, s := range segments {
		if s == "" && i < len(segments)-1 || s == "." || s == ".." {
			return "", false
		}
	}
	return decoded, true
}

func FuzzDecodePath(f *testing.F) {
	for _, p := range []string{
		"/", "", "/a/b", "/a//b", "/a/", "/./a", "/a/..", "/...", "/.a", "/..a", "/%61", "/%", "/%6", "/%gg", "/%2e", "/%2F", "/%5c", "/\\", "/a#b",
		"/%00", "/\x00", "/%c3%bc", "/%c0%af", "/\xff", "/ü", "/%252e", "/%e2%80%a8", "/%7F", "//", "*", "http://x/",
	} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, ok := decodePath(raw)
		want, wantOK := slowDecodePath(raw)
		if ok != wantOK || ok && got != want {
			t.Errorf("%q: %q %v, want %q %v", raw, got, ok, want, wantOK)
		}
	})
}

// slowRange follows RFC 9110, section 14.1.2, with numbers of any size.
func slowRange(field string, size int64) (span, rangeOutcome) {
	m := regexp.MustCompile(`(?i)^[ \t]*bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*$`).FindStringSubmatch(field)
	whole := span{0, size}
	if m == nil || m[1] == "" && m[2] == "" || size == 0 {
		return whole, wholeBody
	}
	number := func(s string) *big.Int {
		n, _ := new(big.Int).SetString("0"+s, 10)
		if n.IsInt64() {
			return n
		}
		return big.NewInt(math.MaxInt64)
	}
	first, last := number(m[1]), number(m[2])
	total := big.NewInt(size)
	switch {
	case m[1] == "" && last.Sign() == 0:
		return whole, unsatisfiable
	case m[1] == "" && last.Cmp(total) >= 0:
		return whole, partOfBody
	case m[1] == "":
		return span{size - last.Int64(), last.Int64()}, partOfBody
	case m[2] == "":
		last = big.NewInt(math.MaxInt64)
	}
	switch {
	case first.Cmp(last) > 0:
		return whole, wholeBody
	case first.Cmp(total) >= 0:
		return whole, unsatisfiable
	case last.Cmp(total) >= 0:
		last = new(big.Int).Sub(total, big.NewInt(1))
	}
	return span{first.Int64(), last.Int64() - first.Int64() + 1}, partOfBody
}

func FuzzParseRange(f *testing.F) {
	for _, s := range []string{
		"bytes=0-0", "bytes=-1", "bytes=5-", "bytes=-0", "bytes=9-1", "bytes=0-1,2-3", "lines=0-1", "bytes=0-99999999999999999999", "bytes = 1 - 2",
		"bytes=99999999999999999999-", "bytes=-99999999999999999999", "bytes=", "bytes=-", "", "Bytes=007-8", "bytes=9223372036854775807-9223372036854775808",
	} {
		for _, size := range []int64{0, 1, 10, math.MaxInt64} {
			f.Add(s, size)
		}
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		size &= math.MaxInt64
		got, outcome := parseRange(field, size)
		want, wantOutcome := slowRange(field, size)
		if outcome != wantOutcome || outcome != unsatisfiable && got != want {
			t.Errorf("%q of %d: %v %d, want %v %d", field, size, got, outcome, want, wantOutcome)
		}
	})
}

// slowAcceptEncoding follows RFC 9110, sections 12.4.2 and 12.5.3.
func slowAcceptEncoding(field string) acceptance {
	weightForm := regexp.MustCompile(`^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$`)
	named := map[string]float64{}
	for item := range strings.SplitSeq(field, ",") {
		parts := strings.Split(item, ";")
		q, valid := 1.0, true
		for _, p := range parts[1:] {
			key, value, _ := strings.Cut(strings.Trim(p, " \t"), "=")
			if key != "q" && key != "Q" {
				continue
			}
			value = strings.Trim(value, " \t")
			valid = weightForm.MatchString(value)
			q, _ = strconv.ParseFloat(value, 64)
			break
		}
		if token := strings.ToLower(strings.Trim(parts[0], " \t")); valid {
			named[strings.Replace(token, "x-gzip", "gzip", 1)] = q
		}
	}
	var a acceptance
	for c := range holdfast.Coding(len(a)) {
		q, ok := named[c.String()]
		star, starred := named["*"]
		starred = starred && c <= holdfast.Zstd
		switch {
		case ok:
			a[c] = uint16(math.Round(q * 2000))
		case starred:
			a[c] = uint16(math.Round(star * 2000))
		case c == holdfast.Identity:
			a[c] = 1
		}
	}
	return a
}

func FuzzParseAcceptEncoding(f *testing.F) {
	for _, s := range []string{
		"", "gzip", "br;q=0.5, gzip", "*", "*;q=0", "identity;q=0, *", "x-gzip;q=0.001", "gzip;q=1.000;x=y", "gzip;x=y;q=.5", "gzip;q=1.1",
		" GZIP ; Q=0. ,zstd", "br;q", "br;q=0.1234", ";q=1", "gzip;q=0, gzip", "zstd;q= 0.3", ",,,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, field string) {
		if strings.ContainsFunc(field, func(r rune) bool { return r > '~' }) {
			t.Skip("folding of other letters is not what is compared")
		}
		if got, want := parseAcceptEncoding(field), slowAcceptEncoding(field); got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	})
}

func FuzzMatchTag(f *testing.F) {
	tags := []codingTag{{holdfast.Zstd, `"z"`}, {holdfast.Gzip, `"g"`}, {holdfast.Brotli, `"b,c"`}, {holdfast.Identity, `""`}}
	accepted := acceptance{holdfast.Identity: 1, holdfast.Zstd: 1, holdfast.Brotli: 1}
	for _, s := range []string{`"z"`, `W/"z"`, `"x", "b,c"`, `"g"`, `"x""z"`, `"x`, `x, "z"`, `, , W/"", "z"`, `*`, `W/z`, ``, `w/"z"`} {
		f.Add(s, true)
		f.Add(s, false)
	}
	one := regexp.MustCompile(`(?s)^[ \t,]*(W/)?("[^"]*")`)
	f.Fuzz(func(t *testing.T, list string, weakly bool) {
		want := -1
		for rest := list; want < 0; {
			m := one.FindStringSubmatch(rest)
			if m == nil {
				break
			}
			rest = rest[len(m[0]):]
			if m[1] == "" || weakly {
				want = slices.IndexFunc(tags, func(c codingTag) bool { return c.tag == m[2] && accepted[c.coding] > 0 })
			}
		}
		if got := matchTag(list, weakly, tags, &accepted); got != want {
			t.Errorf("%q: %d, want %d", list, got, want)
		}
	})
}
